-- Stores a batch: for each entry one atomic append to its log, merge into its state, and publish. A reading that
-- its log has already is left out.
--
-- KEYS  the clock, the stream of waiting commands, the receipts of a bridge's session, and in a cluster the other keys,
--       so that a slot that is on its way to another master refuses the batch as a whole
-- ARGV  what logs keep (`KIND=ENTRIES:MS` for each kind), the partition's tag, number of entries, entries, and, from a
--       bridge, receipts, which are never the same for two batches, and their cap in bytes
--
-- Entries are packed as `wire/store.py` says; one argument for all of them, since Redis and Lua spend 0.4 us on each
-- argument (Redis 7.0, perf), and eight for each entry were a third of the whole.
--
-- Returns the first id given out, how many were left out, then for each refused entry its place (from 0) and why.
-- The first id is empty when all were, since the whole batch is stored already.
--
-- Ids grow over all topics in the order of publishing, also when the clock of the machine steps back;
-- that makes a single id a complete cursor for every client. In a cluster, all this is so in each partition.
--
-- Before a batch the feed is told the last id before it, and its own last: who misses one can tell from the next.
--
-- The state's field `@newest` is the greatest ts so far. A reading with a greater one is new for certain, and goes
-- into the log as `b`, in order. Every other one goes there as `l`, late, unless reading back finds it there. So does
-- a historical reading, which changes no state; `@early` is the greatest ts of those that came before they were late.

local floor, find, sub, format, unpack = math.floor, string.find, string.sub, string.format, struct.unpack
local match = string.match
local call, try = redis.call, redis.pcall

local MESSAGE, COMMAND = 65534, 65535 -- in the place of the number of parts
local UNTIMED = 16384 -- added to it where the ts is the arrival: equal bodies are two readings then
local TURNS = 32
local FIRST_PAGE, LONGEST_PAGE = 8, 64 -- entries; what comes late is mostly near the end

-- A bridge that has had no answer sends its batch again: what that call has left behind says whether it was stored.
local receipts = ARGV[5]
if receipts and call('GETRANGE', KEYS[3], -#receipts, -1) == receipts then
  call('APPEND', KEYS[3], '') -- a write for WAIT, which knows only those of the same connection
  return { '', tonumber(ARGV[3]) }
end

local time = call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000)
local ms, n = now, 0
local last = call('GET', KEYS[1])
if last then
  local dash = find(last, '-', 1, true)
  local last_ms = tonumber(sub(last, 1, dash - 1))
  if last_ms >= ms then
    ms, n = last_ms, tonumber(sub(last, dash + 1)) + 1
  end
end
local prefix = format('%.0f-', ms)
local tag, count = ARGV[2], tonumber(ARGV[3])
local result = { prefix .. n, 0 }

-- Before anything else, so that no id is ever given twice, even when a later command fails.
local newest_id = prefix .. (n + count - 1)
if count > 0 then
  call('SET', KEYS[1], newest_id)
  call(tag == '' and 'PUBLISH' or 'SPUBLISH', tag .. 'fw:feed', (last or '0-0') .. ' ' .. newest_id)
  if not last then
    call('HSET', tag .. 'fw:lives', result[1], '0-0') -- see life.lua
  end
end
if receipts and call('APPEND', KEYS[3], receipts) > 2 * ARGV[6] then
  call('SET', KEYS[3], call('GETRANGE', KEYS[3], -ARGV[6], -1))
end

local function refuse(place, why)
  result[#result + 1] = place
  result[#result + 1] = why
end

-- Logs that were read back in this call: what is in them, how far back, and where to go on.
local logs = {}

-- What a reading is, without its last bytes, which say when it arrived: that differs each time that it comes.
local function essence(body)
  return sub(body, -18, -10) == '\168received' and sub(body, 1, -19) or body
end

-- The ts of a reading; nothing for what somebody else has written there.
local function stamp(body)
  local good, reading = pcall(cmsgpack.unpack, body)
  return good and type(reading) == 'table' and tonumber(reading.ts)
end

-- Whether a log has this reading. Readings in order grow in ts, and a late one came after those that are newer than
-- it: once an older one in order is met, there is nothing to be found behind it, unless it was `early`.
local function known(log, ts, body, early)
  local read = logs[log]
  if not read then
    read = { bodies = {}, ts = math.huge, from = '+', page = FIRST_PAGE }
    logs[log] = read
  end
  while read.from and (early or read.ts >= ts) do
    local page = call('XREVRANGE', log, read.from, '-', 'COUNT', read.page)
    local in_order
    for _, entry in ipairs(page) do
      local field, old = entry[2][1], entry[2][2]
      read.bodies[essence(old)] = true
      if field == 'b' then
        in_order = old
      end
    end
    read.ts = in_order and stamp(in_order) or read.ts
    read.from = #page == read.page and '(' .. page[#page][1]
    read.page = math.min(2 * read.page, LONGEST_PAGE)
  end
  return read.bodies[essence(body)]
end

local function set(state, name, late, ts, value)
  if late then
    local old = call('HGET', state, name)
    if not old or tonumber(ts) >= (stamp(sub(old, (find(old, ' ', 1, true) or 0) + 1)) or 0) then
      call('HSET', state, name, value)
    end
  else
    call('HSET', state, '@newest', ts, name, value)
  end
end

-- Whether a reading is late, and whether its log has it already; or why it can't be stored.
local function place(log, state, body, ts, timed, historical)
  local newest = try('HGET', state, '@newest')
  if type(newest) == 'table' then
    return nil, nil, newest.err
  end
  local after = newest and ts <= newest
  if not (after or historical) then
    return false, false
  end
  if timed then
    local earliest = historical and call('HGET', state, '@early')
    local early = earliest and ts <= earliest
    if known(log, tonumber(ts), body, early) then
      return true, true
    end
    if historical and not after and not early then
      call('HSET', state, '@early', ts)
    end
  end
  return true, false
end

-- Sharded pub/sub has no patterns: what a pattern would cover is said on a channel of its name.
local function tell(topic, payload)
  local text = topic .. ' ' .. payload
  local all, kind = match(topic, '^%a+/'), match(topic, '[^/]+$')
  local fleet = match(topic, '^fleets/[^/]+/')
  call('SPUBLISH', tag .. all .. '*', text)
  if fleet then
    call('SPUBLISH', tag .. fleet .. '*', text)
  end
  if kind == 'status' or kind == 'replies' then
    call('SPUBLISH', tag .. topic, payload) -- what a bridge hears of the vehicles that commands wait for
  end
end

local turn = time[2] % TURNS
local function publish(i, log, topic, payload)
  if tag == '' then
    call('PUBLISH', topic, payload)
  else
    tell(topic, payload)
  end
  -- Logs are trimmed by turns, some of the entries each time, other ones each time.
  if (i + turn) % TURNS == 0 then
    local kind = sub(topic, 1, 6) == 'rooms/' and 'rooms' or match(topic, '[^/]+$')
    local cap, age = match(ARGV[1], kind .. '=(%d+):(%d+)')
    call('XTRIM', log, 'MAXLEN', '~', cap)
    call('XTRIM', log, 'MINID', '~', format('%.0f-0', now - age))
  end
end

local packed, p = ARGV[4], 1
local at, topic, log, state, body, ts, parts, name

-- Anything but what the loop below does by itself: the rest of the batch goes on behind it.
local function store(i, id)
  local message, timed, late, duplicate, refused = parts >= MESSAGE, true, false, false, nil
  local command = parts == COMMAND
  if message then
    parts = 0
  else
    if parts >= UNTIMED then
      parts, timed = parts - UNTIMED, false
    end
    late, duplicate, refused = place(log, state, body, ts, timed, parts == 0 and name == '')
  end
  if not (duplicate or refused) then
    local answer = try('XADD', log, id, late and 'l' or 'b', body)
    refused = type(answer) == 'table' and answer.err
  end
  if duplicate then
    result[2] = result[2] + 1
  elseif refused then
    refuse(i - 1, refused)
  end
  local stored = not (duplicate or refused)
  local payload = stored and id .. ' ' .. body
  if stored and name ~= '' then
    set(state, name, late, ts, payload)
  end
  if stored and logs[log] then
    logs[log].bodies[essence(body)] = true
  end
  if stored and command then
    call('XADD', KEYS[2], id, 'topic', topic, 'b', body)
  end
  for _ = 1, parts do
    name, body, p = unpack('>Bc0Ic0', packed, p)
    if stored then
      set(state, name, late, ts, id .. ' ' .. body)
    end
  end
  if stored then
    publish(i, log, topic, payload)
  end
end

for i = 1, count do
  at, topic, log, state, body, ts, parts, name, p = unpack('>Bc0Bc0Bc0Bc0Ic0c16HBc0', packed, p)
  -- Lua writes a number by printf (0.3 us), so the place comes written, and serves while it is the number.
  local id = n == 0 and prefix .. at or prefix .. (n + at)
  local done = false
  if parts == 0 and name ~= '' and not logs[log] then
    local newest = try('HGET', state, '@newest')
    if not newest or (type(newest) == 'string' and ts > newest) then
      -- The usual reading. What Redis spends on it is half Lua, and in that, half the hashing of each string's every
      -- byte: so there are few of them, and each is made once.
      if type(try('XADD', log, id, 'b', body)) == 'string' then
        local payload = id .. ' ' .. body
        call('HSET', state, '@newest', ts, name, payload)
        publish(i, log, topic, payload)
        done = true
      end
    end
  end
  if not done then
    store(i, id)
  end
end
return result
