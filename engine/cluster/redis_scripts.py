"""What Redis does in one piece for a board. Time is Redis's own, in milliseconds.

    PREFIX:holders      hash    session: process, or '' where it is offered
    PREFIX:users        hash    session: whom it counts for
    PREFIX:counts       hash    user: how many sessions
    PREFIX:offers       set     sessions that are offered, sorted by their turn
    PREFIX:held:NAME    set     a process's sessions, likewise
    PREFIX:leases       set     processes by the time at which their lease lapses
    PREFIX:capacities   hash    process: how many sessions it may run
    PREFIX:turn         number  of the last change of hands
    PREFIX:inbox:NAME   stream  messages to a process

Must not import coredis.
"""

from __future__ import annotations

from engine.redis.scripts import Script

_SHARED = """
local prefix, me = ARGV[1], ARGV[2]
local holders, leases, offers = prefix .. ':holders', prefix .. ':leases', prefix .. ':offers'
local capacities = prefix .. ':capacities'

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function place(process)
  return process == '' and offers or prefix .. ':held:' .. process
end

-- The one way in which a session changes hands: '' is all.
local function move(session, from, to)
  redis.call('ZREM', place(from), session)
  redis.call('ZADD', place(to), redis.call('INCR', prefix .. ':turn'), session)
  redis.call('HSET', holders, session, to)
end
"""

BEAT = Script(
    "beat",
    _SHARED
    + """
-- ARGV: prefix, process, lease, capacity
local at = now()
local until_now = redis.call('ZSCORE', leases, me)
redis.call('ZADD', leases, at + tonumber(ARGV[3]), me)
redis.call('HSET', capacities, me, ARGV[4])
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', at, 'LIMIT', 0, 100)) do
  if redis.call('EXISTS', place(dead)) == 0 then
    redis.call('ZREM', leases, dead)
    redis.call('HDEL', capacities, dead)
    redis.call('UNLINK', prefix .. ':inbox:' .. dead)
  end
end
return until_now and tonumber(until_now) > at and 1 or 0
""",
)
"""Renews a lease, and forgets lapsed processes that hold nothing; 1 if the lease was valid."""

LEAVE = Script(
    "leave",
    _SHARED
    + """
-- ARGV: prefix, process
redis.call('ZADD', leases, 'XX', 0, me)
redis.call('HDEL', capacities, me)
return 1
""",
)
"""Ends a lease."""

MEMBERS = Script(
    "members",
    _SHARED
    + """
-- ARGV: prefix, process
return redis.call('ZRANGEBYSCORE', leases, '(' .. now(), '+inf')
""",
)
"""Gives the processes whose lease is valid."""

OWN = Script(
    "own",
    _SHARED
    + """
-- ARGV: prefix, process, session, user, limit, 1 where it is new
local session, user, limit = ARGV[3], ARGV[4], tonumber(ARGV[5])
if redis.call('HEXISTS', holders, session) == 1 then return 'exists' end
if user ~= '' then
  local count = tonumber(redis.call('HGET', prefix .. ':counts', user) or 0)
  if limit > 0 and count >= limit then return 'limited' end
end
if ARGV[6] == '1' then
  local places = 0
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. now(), '+inf')) do
    places = places + tonumber(redis.call('HGET', capacities, process) or 0)
  end
  if redis.call('HLEN', holders) >= places then return 'full' end
end
if user ~= '' then
  redis.call('HINCRBY', prefix .. ':counts', user, 1)
  redis.call('HSET', prefix .. ':users', session, user)
end
redis.call('ZADD', leases, 'NX', 0, me)
move(session, '', me)
return 'done'
""",
)
"""Puts a session on the board: done, exists, limited, or full."""

RELEASE = Script(
    "release",
    _SHARED
    + """
-- ARGV: prefix, process, session
local session = ARGV[3]
if redis.call('HGET', holders, session) ~= me then return 0 end
redis.call('HDEL', holders, session)
redis.call('ZREM', place(me), session)
local user = redis.call('HGET', prefix .. ':users', session)
if user then
  redis.call('HDEL', prefix .. ':users', session)
  if redis.call('HINCRBY', prefix .. ':counts', user, -1) <= 0 then
    redis.call('HDEL', prefix .. ':counts', user)
  end
end
return 1
""",
)
"""Takes a session off the board, and its user's slot with it, if this process holds it."""

OFFER = Script(
    "offer",
    _SHARED
    + """
-- ARGV: prefix, process, session
if redis.call('HGET', holders, ARGV[3]) == me then move(ARGV[3], me, '') end
return 1
""",
)
"""Gives a session to all, if this process holds it."""

TAKE = Script(
    "take",
    _SHARED
    + """
-- ARGV: prefix, process, how many, 1 to take from the dead
local wanted, places, taken = tonumber(ARGV[3]), {''}, {}
if ARGV[4] == '1' then
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now())) do
    if dead ~= me then places[#places + 1] = dead end
  end
end
for _, from in ipairs(places) do
  if #taken >= wanted then break end
  for _, session in ipairs(redis.call('ZRANGE', place(from), 0, wanted - #taken - 1)) do
    move(session, from, me)
    taken[#taken + 1] = session
  end
end
if #taken > 0 then redis.call('ZADD', leases, 'NX', 0, me) end
return taken
""",
)
"""Takes sessions that are offered, the oldest first, then those of processes that have lapsed."""

HOLDINGS = Script(
    "holdings",
    _SHARED
    + """
-- ARGV: prefix, process, sessions …
local found, at = {}, now()
for i = 3, #ARGV do
  local holder = redis.call('HGET', holders, ARGV[i])
  if holder then
    local lease = holder ~= '' and redis.call('ZSCORE', leases, holder)
    found[#found + 1] = ARGV[i]
    found[#found + 1] = holder
    found[#found + 1] = lease and tonumber(lease) > at and 1 or 0
  end
end
return found
""",
)
"""Gives (session, holder, 1 if it is alive) … of those that are on the board."""

LISTEN = Script(
    "listen",
    _SHARED
    + """
-- ARGV: prefix, process, id of the last message that was heard or '', how long the inbox lasts
local inbox = prefix .. ':inbox:' .. me
local last = ARGV[3]
if last == '' or redis.call('EXISTS', inbox) == 0 then
  last = redis.call('XADD', inbox, '*', 'm', '')  -- what is never posted makes the inbox
else
  redis.call('XTRIM', inbox, 'MINID', last)
end
redis.call('PEXPIRE', inbox, ARGV[4])
return last
""",
)
"""Keeps an inbox, without what was heard; gives the id behind which to listen."""

SCRIPTS = (BEAT, LEAVE, MEMBERS, OWN, RELEASE, OFFER, TAKE, HOLDINGS, LISTEN)
