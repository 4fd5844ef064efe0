"""What Redis does in one piece to count for all processes of a board, by its own clock.

    PREFIX:places:KEY  set     places that are taken, sorted by when they are free again, in ms
    PREFIX:turn:KEY    number  when the next turn is due, in us

Each key lapses by itself. Must not import coredis.
"""

from __future__ import annotations

from engine.redis.scripts import Script

_NOW_US = """
local time = redis.call('TIME')
local at = tonumber(time[1]) * 1000000 + tonumber(time[2])
"""

TAKE_PLACE = Script(
    "take_place",
    _NOW_US
    + """
-- ARGV: prefix, process, key, place, limit, window in ms
local key, place = ARGV[1] .. ':places:' .. ARGV[3], ARGV[4]
local limit, window = tonumber(ARGV[5]), tonumber(ARGV[6])
at = math.floor(at / 1000)
redis.call('ZREMRANGEBYSCORE', key, '-inf', at)
local taken = redis.call('ZCARD', key)
if redis.call('ZSCORE', key, place) then return {1, taken - 1, 0} end
if taken >= limit then
  local next = redis.call('ZRANGE', key, taken - limit, taken - limit, 'WITHSCORES')
  return {0, taken, next[2] and tonumber(next[2]) - at or window}
end
redis.call('ZADD', key, at + window, place)
redis.call('PEXPIRE', key, math.max(window, redis.call('PTTL', key)))
return {1, taken, 0}
""",
)
"""Takes a place if one is free: (1 or 0, how many others are taken, when one is free in ms)."""

GIVE_PLACE_BACK = Script(
    "give_place_back",
    """
-- ARGV: prefix, process, key, place or '' for all
local key = ARGV[1] .. ':places:' .. ARGV[3]
if ARGV[4] == '' then return redis.call('DEL', key) end
return redis.call('ZREM', key, ARGV[4])
""",
)
"""Frees a place, or all of a key."""

TAKE_TURN = Script(
    "take_turn",
    _NOW_US
    + """
-- ARGV: prefix, process, key, interval, ahead, longest in us
local key = ARGV[1] .. ':turn:' .. ARGV[3]
local interval, ahead, longest = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local due = math.max(tonumber(redis.call('GET', key) or 0), at)
local wait = math.max(0, due - ahead - at)
if wait <= longest then
  due = due + interval
  redis.call('SET', key, string.format('%.0f', due), 'PX', math.ceil((due - at) / 1000) + 1)
end
return wait
""",
)
"""Takes a turn (GCRA) unless it is further away than the longest wait; gives the wait in us."""

SCRIPTS = (TAKE_PLACE, GIVE_PLACE_BACK, TAKE_TURN)
