-- One message a request, none like another; wrk's arguments are the token and the size in bytes.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(arguments)
  local head = "From: <a@example.com>\r\nTo: <b@example.com>\r\nSubject: Benchmark\r\n\r\n"
  local line = string.rep("x", 76) .. "\r\n"
  local body = head .. string.rep(line, math.ceil(tonumber(arguments[2]) / #line))
  wrk.method = "POST"
  wrk.body = body:sub(1, tonumber(arguments[2]))
  wrk.headers["Authorization"] = "Bearer " .. arguments[1]
  wrk.headers["Content-Type"] = "message/rfc822"
  wrk.headers["X-Original-Sender"] = "a@example.com"
  wrk.headers["X-Original-Recipient"] = "b@example.com"
  run, count = arguments[3], 0
end

function request()
  count = count + 1
  wrk.headers["Idempotency-Key"] = run .. "-" .. number .. "-" .. count
  return wrk.format()
end

function done(summary, latency)
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "bad": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    summary.errors.status + summary.errors.connect + summary.errors.read
      + summary.errors.write + summary.errors.timeout))
end
