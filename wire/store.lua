-- Stores a batch: for each entry one atomic append to its log, merge into its state, and publish.
--
-- KEYS  the clock, then two for each entry: its log and its state
-- ARGV  cap of a log in entries, cap of its age in ms, then for each entry:
--         topic, body, ts in ms, number of state fields, and for each field: its name and its body
--         ("" for the entry's own). No field: the entry leaves the state alone (historical, a message).
--
-- Returns the first id given out, then for each refused entry its place (from 0) and why.
--
-- Ids grow over all topics in the order of publishing, also when the clock of the machine steps back;
-- that makes a single id a complete cursor for every client.

local floor, find, sub, format = math.floor, string.find, string.sub, string.format

local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local ms, n = now, 0
local last = redis.call('GET', KEYS[1])
if last then
  local dash = find(last, '-', 1, true)
  local last_ms = tonumber(sub(last, 1, dash - 1))
  if last_ms >= ms then
    ms, n = last_ms, tonumber(sub(last, dash + 1)) + 1
  end
end
local prefix = format('%.0f-', ms)
local cap = ARGV[1]
local oldest = format('%.0f-0', now - ARGV[2])
local result = { prefix .. n }

-- Before anything else, so that no id is ever given twice, even when a later command fails.
redis.call('SET', KEYS[1], prefix .. (n + (#KEYS - 1) / 2 - 1))

local arg = 3
for key = 2, #KEYS, 2 do
  local log, state = KEYS[key], KEYS[key + 1]
  local topic, body, ts, fields = ARGV[arg], ARGV[arg + 1], ARGV[arg + 2], tonumber(ARGV[arg + 3])
  arg = arg + 4
  local id = prefix .. n
  n = n + 1
  local stored = redis.pcall('XADD', log, 'MAXLEN', '~', cap, id, 'b', body)
  local refused = type(stored) == 'table' and stored.err
  if not refused then
    -- Age is looked at for a sample: each batch's first entry of a millisecond, and every 16th.
    if n % 16 == 1 then
      redis.call('XTRIM', log, 'MINID', '~', oldest)
    end
    for at = arg, arg + 2 * fields - 1, 2 do
      local old = redis.pcall('HGET', state, ARGV[at])
      local newer = true
      if type(old) == 'table' then
        refused, newer = old.err, false
      elseif old then
        local first = find(old, ' ', 1, true)
        newer = tonumber(ts) >= tonumber(sub(old, first + 1, find(old, ' ', first + 1, true) - 1))
      end
      if newer then
        local part = ARGV[at + 1]
        redis.call('HSET', state, ARGV[at], id .. ' ' .. ts .. ' ' .. (part == '' and body or part))
      end
    end
    redis.call('PUBLISH', topic, id .. ' ' .. body)
  end
  if refused then
    result[#result + 1] = key / 2 - 1
    result[#result + 1] = refused
  end
  arg = arg + 2 * fields
end
return result
