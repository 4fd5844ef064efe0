// Runs the usage example of the content pipeline's seed, as it stands, in the place of the page
// around it: `generationService` is our browser module, and what would draw prints a JSON line.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createClient } from '../../../server/page/antiphon.js';

const require = createRequire(`${process.env.NODE_PATH}/`);
const ts = require('typescript');

const [file, baseUrl, paramsFile, token] = process.argv.slice(2);
const say = (kind) => (...values) => console.log(JSON.stringify([kind, ...values]));
const around = {
  generationService: createClient({ baseUrl, token }),
  params: JSON.parse(readFileSync(paramsFile, 'utf8')),
  setStreamProgress: say('progress'),
  setStreamDraft: say('draft'),
  setOutput: say('output'),
  showToast: say('toast'),
};
const { outputText } = ts.transpileModule(readFileSync(file, 'utf8'), {
  compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
});
const AsyncFunction = (async () => {}).constructor;
await new AsyncFunction(...Object.keys(around), outputText)(...Object.values(around));
say('done')();
