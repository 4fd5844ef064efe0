// Runs the seed's TypeScript in a browser's place: types are taken off, relative URLs get the
// server's address, Angular's decorator does nothing. Prints one JSON line for each call back.
const fs = require('fs');
const vm = require('vm');
const ts = require('typescript');

const [file, base, requestFile, which] = process.argv.slice(2);
const say = (kind, value) => console.log(JSON.stringify([kind, value]));
const fetchOfServer = (url, options) => fetch(base + url, options);
const modules = {
  '@angular/core': { Injectable: () => (target) => target },
  rxjs: require('rxjs'),
};
const compiled = ts.transpileModule(fs.readFileSync(file, 'utf8'), {
  compilerOptions: {
    module: ts.ModuleKind.CommonJS,
    target: ts.ScriptTarget.ES2022,
    experimentalDecorators: true,
  },
}).outputText;
const context = vm.createContext({
  exports: {},
  require: (name) => modules[name],
  fetch: fetchOfServer,
  TextDecoder,
  Error,
  console: { log: (...words) => say('log', words) },
});
vm.runInContext(compiled, context, { filename: file });
const request = JSON.parse(fs.readFileSync(requestFile, 'utf8'));
if (which === 'function') {
  context.generateRaterFeedbackWithUpdates(request).then(() => say('done', null));
} else {
  new context.exports.StreamingService()
    .streamRaterFeedback(request, (progress) => say('progress', progress))
    .subscribe({
      next: (data) => say('next', data),
      error: (error) => say('error', error.message),
      complete: () => say('done', null),
    });
}
