"""What Redis does in one piece for the journal: a Lua script for each change, and for each view.

The rule: a script checks everything before it writes anything, so a batch is never seen in part,
and what is refused changes nothing. Each write names its `writer` (one life of a process) and its
`number`, which only grows: what a broken connection delivers late, or a repeat brings again, is
known by them and not done twice. An answer is a list that begins with a word.

Must not import coredis.
"""

from __future__ import annotations

from engine.redis.scripts import Script

_SHARED = """
local ENDED = {completed = true, failed = true, cancelled = true}

local function session_keys(prefix, id)
  local begin = prefix .. ':{' .. id .. '}:'
  return begin .. 'record', begin .. 'log', begin .. 'epochs', begin .. 'opened', begin .. 'notes'
end

-- All that makes a record; nil where there is no such session.
local function view(prefix, id)
  local record, log, epochs, opened, notes = session_keys(prefix, id)
  local held = redis.call('HMGET', record, 'record', 'state', 'updated', 'place')
  if not held[1] then return nil end
  return {held[4], held[1], held[2], held[3], redis.call('LRANGE', epochs, 0, -1),
    redis.call('HGETALL', opened), redis.call('HGETALL', notes)}
end

-- The one way in which a session leaves the journal; gives when it was written last.
local function drop(prefix, id)
  local record, log, epochs, opened, notes = session_keys(prefix, id)
  local held = redis.call('HMGET', record, 'place', 'owner', 'protocol', 'state', 'updated')
  if not held[1] then return nil end
  redis.call('ZREM', prefix .. ':all', held[1])
  redis.call('ZREM', prefix .. ':owner:' .. held[2], held[1])
  redis.call('ZREM', prefix .. ':protocol:' .. held[3], held[1])
  redis.call('ZREM', prefix .. ':state:' .. held[4], held[1])
  redis.call('ZREM', prefix .. ':ended', id)
  redis.call('UNLINK', record, log, epochs, opened, notes)
  return held[5]
end
"""

# ---- changes ------------------------------------------------------------------------------------

CREATE = Script(
    "create",
    _SHARED
    + """
-- ARGV: prefix, id, writer, number, place, owner, protocol, state, updated, epoch, record,
-- words of epochs, words of opened; then name, offset …; part, attempt …; note, value …
local prefix, id = ARGV[1], ARGV[2]
local record, log, epochs, opened, notes = session_keys(prefix, id)
local held = redis.call('HMGET', record, 'place', 'maker', 'made')
if held[1] then
  if held[2] == ARGV[3] and held[3] == ARGV[4] then return {'done'} end
  return {'exists'}
end
redis.call('HSET', record, 'maker', ARGV[3], 'made', ARGV[4], 'writer', ARGV[3],
  'number', ARGV[4], 'place', ARGV[5], 'owner', ARGV[6], 'protocol', ARGV[7], 'state', ARGV[8],
  'updated', ARGV[9], 'epoch', ARGV[10], 'record', ARGV[11], 'last', '0')
local first_opened = 14 + tonumber(ARGV[12])
local first_note = first_opened + tonumber(ARGV[13])
for i = 14, #ARGV, 2 do
  if i < first_opened then
    redis.call('RPUSH', epochs, ARGV[i], ARGV[i + 1])
  else
    redis.call('HSET', i < first_note and opened or notes, ARGV[i], ARGV[i + 1])
  end
end
redis.call('ZADD', prefix .. ':all', 0, ARGV[5])
redis.call('ZADD', prefix .. ':owner:' .. ARGV[6], 0, ARGV[5])
redis.call('ZADD', prefix .. ':protocol:' .. ARGV[7], 0, ARGV[5])
redis.call('ZADD', prefix .. ':state:' .. ARGV[8], 0, ARGV[5])
if ENDED[ARGV[8]] then redis.call('ZADD', prefix .. ':ended', ARGV[9], id) end
return {'done'}
""",
)
"""Makes a session: done, or exists."""

TAKE_BACK = Script(
    "take back",
    _SHARED
    + """
-- ARGV: prefix, id, writer, number of the create
local held = redis.call('HMGET', session_keys(ARGV[1], ARGV[2]), 'maker', 'made')
if held[1] == ARGV[3] and held[2] == ARGV[4] then drop(ARGV[1], ARGV[2]) end
return {'done'}
""",
)
"""Drops a session if it is the one that a certain create made."""

APPEND = Script(
    "append",
    _SHARED
    + """
-- ARGV: prefix, writer; then for each batch: id, number, epoch, state or '', words of entries,
-- words of opened, words of notes; first, seq, at, entry …; part, attempt …; note, value …
local prefix, writer = ARGV[1], ARGV[2]

local function append(at, first_entry, first_opened, first_note, behind)
  local id, number, epoch, new_state = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local record, log, epochs, opened, notes = session_keys(prefix, id)
  local held = redis.call('HMGET', record,
    'epoch', 'last', 'updated', 'writer', 'number', 'state', 'place')
  if not held[1] then return {'gone'} end
  if held[4] == writer and tonumber(number) <= tonumber(held[5]) then return {'done'} end
  if held[1] ~= epoch then return {'stale'} end
  local last, updated, state = held[2], held[3], held[6]
  local known, expected, from = tonumber(last), tonumber(last) + 1, nil
  for i = first_entry, first_opened - 1, 4 do
    local first, seq = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    if from or seq > known then
      if first ~= expected then
        if first <= known and not from then return {'cut', known} end
        return {'hole', first, expected}
      end
      from = from or i
      expected = seq + 1
    end
  end
  if first_opened > first_entry and not from then return {'done'} end
  -- From here on nothing fails.
  for i = from or first_opened, first_opened - 1, 4 do
    redis.call('XADD', log, ARGV[i + 1] .. '-0', 'e', ARGV[i + 3])
    last = ARGV[i + 1]
    if tonumber(ARGV[i + 2]) > tonumber(updated) then updated = ARGV[i + 2] end
  end
  for i = first_opened, behind - 1, 2 do
    redis.call('HSET', i < first_note and opened or notes, ARGV[i], ARGV[i + 1])
  end
  if new_state ~= '' and new_state ~= state then
    redis.call('ZREM', prefix .. ':state:' .. state, held[7])
    redis.call('ZREM', prefix .. ':ended', id)
    state = new_state
    redis.call('ZADD', prefix .. ':state:' .. state, 0, held[7])
  end
  if ENDED[state] then redis.call('ZADD', prefix .. ':ended', updated, id) end
  redis.call('HSET', record, 'last', last, 'updated', updated, 'state', state,
    'writer', writer, 'number', number)
  return {'done'}
end

local answers, at = {}, 3
while ARGV[at] do
  local first_entry = at + 7
  local first_opened = first_entry + tonumber(ARGV[at + 4])
  local first_note = first_opened + tonumber(ARGV[at + 5])
  local behind = first_note + tonumber(ARGV[at + 6])
  local is_done, answer = pcall(append, at, first_entry, first_opened, first_note, behind)
  if not is_done then
    answer = {'error', type(answer) == 'table' and answer.err or tostring(answer)}
  end
  answers[#answers + 1] = answer
  at = behind
end
return answers
""",
)
"""Takes batches, each by itself: done (also where it is a repeat), gone, stale, hole, or cut: its
first new entry has a part that is known, and has to be cut after the offset that is named; or the
error that Redis made of it."""

BEGIN_EPOCH = Script(
    "begin epoch",
    _SHARED
    + """
-- ARGV: prefix, id, writer, number, name
local record, log, epochs = session_keys(ARGV[1], ARGV[2])
local held = redis.call('HMGET', record, 'last', 'beginner', 'begun')
if not held[1] then return {'gone'} end
if held[2] ~= ARGV[3] or held[3] ~= ARGV[4] then
  local known = redis.call('LRANGE', epochs, 0, -1)
  for i = 1, #known, 2 do
    if known[i] == ARGV[5] then return {'exists'} end
  end
  redis.call('RPUSH', epochs, ARGV[5], held[1])
  redis.call('HSET', record, 'epoch', ARGV[5], 'beginner', ARGV[3], 'begun', ARGV[4])
end
return {'done', view(ARGV[1], ARGV[2])}
""",
)
"""Begins a new life of a log, and gives the record: done, gone, or exists."""

DELETE = Script(
    "delete",
    _SHARED
    + """
-- ARGV: prefix, id
return {'done', drop(ARGV[1], ARGV[2]) and 1 or 0}
""",
)
"""Forgets a session: 1 if there was one."""

EXPIRE = Script(
    "expire",
    _SHARED
    + """
-- ARGV: prefix, ended before, tombstones forgotten before, how many at once
local expired = ARGV[1] .. ':expired'
local late = redis.call('ZRANGEBYSCORE', ARGV[1] .. ':ended', '-inf', '(' .. ARGV[2],
  'LIMIT', 0, ARGV[4])
for _, id in ipairs(late) do
  local at = drop(ARGV[1], id)
  redis.call('ZREM', ARGV[1] .. ':ended', id)
  if at then redis.call('ZADD', expired, at, id) end
end
if #late == 0 then redis.call('ZREMRANGEBYSCORE', expired, '-inf', '(' .. ARGV[3]) end
return {'done', #late}
""",
)
"""Drops some sessions that ended before a time, and remembers their ids; gives their number."""

PUT = Script(
    "put",
    """
-- KEYS: data, owners, by time, by time of the owner. ARGV: key, owner, updated, data, what the
-- owners' sets begin with
local before = redis.call('HGET', KEYS[2], ARGV[1])
if before and before ~= ARGV[2] then redis.call('ZREM', ARGV[5] .. before, ARGV[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
return {'done'}
""",
)
"""Stores a document in the place of one of the same key."""

REMOVE = Script(
    "remove",
    """
-- KEYS: data, owners, by time. ARGV: key, what the owners' sets begin with
local owner = redis.call('HGET', KEYS[2], ARGV[1])
if not owner then return {'done', 0} end
redis.call('ZREM', ARGV[2] .. owner, ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return {'done', 1}
""",
)
"""Drops a document: 1 if there was one."""

# ---- views --------------------------------------------------------------------------------------

LOAD = Script(
    "load",
    _SHARED
    + """
-- ARGV: prefix, id
return view(ARGV[1], ARGV[2])
""",
)
"""Gives what makes a session's record, or nil."""

LIST = Script(
    "list",
    _SHARED
    + """
-- KEYS: a set of places. ARGV: prefix, begin below, how many, '=' owner or '', '=' protocol or '',
-- states or ''. Gives where to go on ('' at the end), and the records.
local at, wanted, found, states = ARGV[2], tonumber(ARGV[3]), {}, {}
for state in string.gmatch(ARGV[6], '%a+') do states[state] = true end
for turn = 1, 10 do
  local places = redis.call('ZREVRANGEBYLEX', KEYS[1], at, '-', 'LIMIT', 0, 100)
  for _, place in ipairs(places) do
    at = '(' .. place
    local id = string.sub(place, 17)
    local held = redis.call('HMGET', session_keys(ARGV[1], id), 'owner', 'protocol', 'state')
    if held[1]
      and (ARGV[4] == '' or ARGV[4] == '=' .. held[1])
      and (ARGV[5] == '' or ARGV[5] == '=' .. held[2])
      and (ARGV[6] == '' or states[held[3]])
    then
      found[#found + 1] = view(ARGV[1], id)
      if #found == wanted then return {at, found} end
    end
  end
  if #places < 100 then return {'', found} end
end
return {at, found}
""",
)
"""Walks an index, newest first, for at most 1,000 sessions: Redis serves nobody meanwhile."""

READ = Script(
    "read",
    """
-- KEYS: a log. ARGV: after, how many offsets, how many bytes
local found, size, begin = {}, 0, '(' .. ARGV[1]
local until_seq = tonumber(ARGV[1]) + tonumber(ARGV[2])
while true do
  local page = redis.call('XRANGE', KEYS[1], begin, '+', 'COUNT', 64)
  for _, each in ipairs(page) do
    local seq = tonumber(string.match(each[1], '^%d+'))
    size = size + #each[2][2]
    if #found > 0 and (seq > until_seq or size > tonumber(ARGV[3])) then return found end
    found[#found + 1] = each[2][2]
    begin = '(' .. each[1]
  end
  if #page < 64 then return found end
end
""",
)
"""Gives a page of entries, at least one if there is one."""

LIST_DOCUMENTS = Script(
    "list documents",
    """
-- KEYS: by time, data. ARGV: how many
local found = {}
for _, key in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  found[#found + 1] = redis.call('HGET', KEYS[2], key)
end
return found
""",
)
"""Gives documents, the newest first."""

WRITES = (CREATE, TAKE_BACK, APPEND, BEGIN_EPOCH, DELETE, EXPIRE, PUT, REMOVE)
VIEWS = (LOAD, LIST, READ, LIST_DOCUMENTS)
