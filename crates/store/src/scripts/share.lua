-- Fair sharing of a vendor's submissions: tenants, within each its three classes of priority, within each class its
-- batches. Each of them is a sorted set `w:…` of children by virtual time; below the batches are the lanes, sorted
-- sets of jobs that may be submitted now. A child that is served moves on by the served over its weight, and the one
-- that is least far is next (start-time fair queueing). One that has nothing to submit is parked in the set of the
-- same name with a `!` behind, so that it cannot gain by going and coming; there `=` says how far its parent is.
local CLASS_WEIGHTS = { h = 10, n = 3, l = 1 }

-- A lane is `tenant:class:batch`, with a `+` behind where its jobs have another vendor left.
local function lane_of(queue, lane)
  return queue .. ':' .. lane
end

-- The sorted set of the tenants that share a submit queue.
local function share_of(queue)
  return (string.gsub(queue, ':q:submit:([^:]+)$', ':w:%1'))
end

-- The nodes above a lane, and the child's name in each: from the batches up to the tenants.
local function nodes_of(share, lane)
  local tenant, class, batch = string.match(lane, '^([^:]*):([^:]*):(.*)$')
  return {
    { share .. ':' .. tenant .. ':' .. class, batch },
    { share .. ':' .. tenant, class },
    { share, tenant },
  }
end

-- Has a lane take part: it starts where the others are, or where it was if that is further.
local function activate(share, lane)
  for _, at in ipairs(nodes_of(share, lane)) do
    local node, child = at[1], at[2]
    if redis.call('ZSCORE', node, child) then return end
    local parked = node .. '!'
    local far = redis.call('ZMSCORE', parked, child, '=')
    local others = far[2] or redis.call('ZRANGE', node, 0, 0, 'WITHSCORES')[2]
    redis.call('ZADD', node, math.max(tonumber(far[1] or 0), tonumber(others or 0)), child)
    if far[1] then redis.call('ZREM', parked, child) end
  end
end

-- Puts jobs into lanes: places by lane, each a list of due, id, due, id, …
local function enter_lanes(queue, places)
  for lane, list in pairs(places) do
    redis.call('ZADD', lane_of(queue, lane), unpack(list))
    activate(share_of(queue), lane)
  end
end

-- Takes jobs out of a lane otherwise than by a claim; one that is empty takes part no more.
local function leave_lane(queue, lane, ids)
  local key = lane_of(queue, lane)
  redis.call('ZREM', key, unpack(ids))
  if redis.call('EXISTS', key) == 1 then return end
  for _, at in ipairs(nodes_of(share_of(queue), lane)) do
    redis.call('ZREM', at[1], at[2])
    if redis.call('EXISTS', at[1]) == 1 then return end
  end
end

-- Wakes a queue that sleeps longer than until `due`.
local function wake_queue(queue, due, channel)
  local asleep = redis.call('GET', queue .. ':idle')
  if asleep and due < (tonumber(asleep) or math.huge) then
    redis.call('DEL', queue .. ':idle')
    redis.call('PUBLISH', channel, queue)
  end
end

-- The lane of a waiting job's record: what `Job::lane` says; nothing where that cannot be read.
local function lane_in(text)
  local is_read, job = pcall(cjson.decode, text)
  if not is_read or type(job) ~= 'table' or type(job.r) ~= 'table' then return nil end
  local tenant, batch, route = job.w or 'default', job.b or '', job.ri or 0
  if batch == cjson.null then batch = '' end
  if type(tenant) ~= 'string' or type(batch) ~= 'string' or type(route) ~= 'number' then return nil end
  -- It would stand in another's lane.
  if string.find(tenant, ':', 1, true) then return nil end
  local class = job.pr == 'high' and 'h' or job.pr == 'low' and 'l' or 'n'
  return tenant .. ':' .. class .. ':' .. batch .. (#job.r > route + 1 and '+' or '')
end

-- The tree above a vendor's lanes, while a claim goes through it: only what it comes by is read, and written back at
-- its end. `more` says afterwards that there was more to look at than was read. A lane that `waits` keeps its place:
-- others may stand behind it, and are read until so many were.
local Tree = {}
local MOST_READ, PAGE = 512, 64

-- except: a tenant that is passed by
local function tree_of(queue, most, weights, except)
  local share = share_of(queue)
  if except then most = math.max(most, PAGE) end
  local tree = { queue = queue, share = share, most = most, weights = weights, except = except, opened = {}, lanes = {}, poor = {} }
  setmetatable(tree, { __index = Tree })
  tree.root = tree:open(share, {})
  return tree
end

-- A node with its first children.
function Tree:open(key, path)
  local node = { key = key, path = path, kids = {}, read = 0, left = {}, gone = {} }
  self:read(node, self.most)
  self.opened[#self.opened + 1] = node
  return node
end

-- Reads the next children of a node.
function Tree:read(node, most)
  local found = redis.call('ZRANGE', node.key, node.read, node.read + most - 1, 'WITHSCORES')
  node.read, node.cut = node.read + most, #found >= 2 * most
  for i = 1, #found, 2 do
    if #node.path > 0 or found[i] ~= self.except then
      node.kids[#node.kids + 1] = { name = found[i], far = tonumber(found[i + 1]) }
    end
  end
end

-- What is below a child: a node, or a lane.
function Tree:below(node, kid)
  if kid.below then return kid.below end
  local path = { unpack(node.path) }
  path[#path + 1] = kid.name
  if #path < 3 then
    kid.below = self:open(node.key .. ':' .. kid.name, path)
  else
    local lane = table.concat(path, ':')
    kid.below = {
      name = lane, key = lane_of(self.queue, lane), tenant = path[1], ids = {}, at = 1, taken = 0, chunk = 2,
    }
    self.lanes[#self.lanes + 1] = kid.below
  end
  return kid.below
end

-- The next job of whoever has had the least; `next_of` gives a lane's next one, or nothing and whether the lane has no
-- money left.
function Tree:pick(next_of, node)
  node = node or self.root
  while true do
    local first
    if #node.kids == 0 and node.cut and node.waits and node.read < MOST_READ then self:read(node, PAGE) end
    for i, kid in ipairs(node.kids) do
      if not first or kid.far < node.kids[first].far then first = i end
    end
    if not first then
      if node.cut then self.more = true end
      return nil
    end
    local kid = node.kids[first]
    local below = self:below(node, kid)
    local id, job
    if below.kids then id, job = self:pick(next_of, below) else id, job = next_of(below) end
    if id then
      kid.weight = kid.weight or math.max(number_of(self.weights[#node.path + 1](
        node.path[1] or kid.name, node.path[2] or kid.name, kid.name) or 1) or 1, 0.001)
      node.far = kid.far
      kid.far, kid.moved = kid.far + 1 / kid.weight, true
      return id, job
    end
    if not below.kids and job then self.poor[#self.poor + 1] = below.name end
    table.remove(node.kids, first)
    if below.cut or below.waits then
      self.more = self.more or below.cut
      -- It is written back at the end: what is read meanwhile must not move.
      node.left[#node.left + 1] = kid
      node.cut, node.waits = node.cut or below.cut, node.waits or below.waits
    else
      node.gone[#node.gone + 1] = kid
    end
  end
end

-- Writes back how far everybody is; `again` is when those without money are tried again.
function Tree:close(again)
  for _, lane in ipairs(self.lanes) do
    if lane.taken > 0 then redis.call('ZREMRANGEBYRANK', lane.key, 0, lane.taken - 1) end
  end
  for _, node in ipairs(self.opened) do
    local parked = node.key .. '!'
    for _, kids in ipairs({ node.kids, node.left }) do
      for _, kid in ipairs(kids) do
        if kid.moved then redis.call('ZADD', node.key, kid.far, kid.name) end
      end
    end
    for _, kid in ipairs(node.gone) do
      redis.call('ZREM', node.key, kid.name)
      redis.call('ZADD', parked, kid.far, kid.name)
    end
    if node.far then
      redis.call('ZADD', parked, node.far, '=')
      -- Who is not further than the others has nothing to be remembered for.
      redis.call('ZREMRANGEBYSCORE', parked, '-inf', string.format('(%.17g', node.far))
    end
    if node.far or #node.gone > 0 then redis.call('PEXPIRE', parked, 86400000) end
  end
  for _, lane in ipairs(self.poor) do redis.call('ZADD', self.share .. '~', again, lane) end
end
