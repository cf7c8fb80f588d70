-- Says what Redis may have lost, to those who connect to it. A server that starts again, or that takes another's place,
-- begins a new life; what its predecessor gave out after the last id that it knows is gone.
--
-- KEYS  the clock, the lives
-- ARGV  what tells this life of the server from others, the newest id that the caller was ever given, the channel of
--       the feed, the command that publishes there
--
-- The lives are a hash: `@life` names the current one; each other field is the id with which one began, later than all
-- that were given out before, with the last id that was known then, and `!` behind it once somebody was given an id in
-- between: then something is lost for certain. In between there may also be what nobody was given.
--
-- Returns the lives in which something is lost for certain, or may be: id before it, id with which it began, whether.

local call, sub, format, match = redis.call, string.sub, string.format, string.match
local MOST = 64
local AHEAD_MS = 60000 -- of the clock, at most: what is later was never given out

local function less(a, b)
  local a_ms, a_n = match(a, '(%d+)-(%d+)')
  local b_ms, b_n = match(b, '(%d+)-(%d+)')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  return a_ms < b_ms or (a_ms == b_ms and tonumber(a_n) < tonumber(b_n))
end

local clock, seen = call('GET', KEYS[1]) or '0-0', ARGV[2]
if call('HGET', KEYS[2], '@life') ~= ARGV[1] then
  local time = call('TIME')
  local ms = tonumber(time[1]) * 1000 + math.floor(time[2] / 1000)
  for _, id in ipairs({ clock, seen }) do
    local after = tonumber(match(id, '%d+')) + 1
    if id == clock or after < ms + AHEAD_MS then
      ms = math.max(ms, after)
    end
  end
  local began = format('%.0f-0', ms)
  call('SET', KEYS[1], began)
  call('HSET', KEYS[2], '@life', ARGV[1], began, clock)
  call(ARGV[4], ARGV[3], clock .. ' ' .. began) -- as before a batch: nobody is to think that one is missing
end

local fields, lives = call('HGETALL', KEYS[2]), {}
for i = 1, #fields, 2 do
  local began, before = fields[i], fields[i + 1]
  if began ~= '@life' then
    local lost = sub(before, -1) == '!'
    before = match(before, '[%d-]+')
    if not lost and less(before, seen) and less(seen, began) then
      lost = true
      call('HSET', KEYS[2], began, before .. '!')
      call(ARGV[4], ARGV[3], before .. ' ' .. began .. ' lost')
    end
    lives[#lives + 1] = { before, began, lost and 1 or 0 }
  end
end
table.sort(lives, function(a, b) return less(a[2], b[2]) end)
while #lives > MOST do
  call('HDEL', KEYS[2], table.remove(lives, 1)[2])
end
return lives
