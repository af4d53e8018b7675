"""The sections of docs/api.md about deliveries and endpoints."""

from members import members

from app.deliveries.schemas import (
    AttemptSchema,
    DeliverySummarySchema,
    EndpointSchema,
    EndpointTestSchema,
)
from app.storage.delivery import MOST_ANSWER_BYTES
from app.web.delivery_parameters import DeliveryListParameters, ReplayRequestSchema
from app.web.endpoints import MOST_TEST_SECONDS
from app.web.schemas import DeliveryPageSchema, ReplaySchema

LIST = """\
## Deliveries and endpoints

These routes need an api_token, and treat parameters, bodies and answers like the routes for
[messages](#reading-and-deleting-messages). In the examples, the id of a delivery is in `$DELIVERY`,
and the name of an endpoint in `$ENDPOINT`. [deliveries.md](deliveries.md) explains both.

## GET /deliveries

Lists deliveries. A delivery is one message for one endpoint.

```sh
curl --oauth2-bearer "$API_TOKEN" "$URL/deliveries?state=dead&endpoint=$ENDPOINT"
curl --oauth2-bearer "$API_TOKEN" "$URL/deliveries?message_id=$ID"
```
"""

PAGES = """\
Deliveries must match all parameters. They are listed in the order in which they were created, with
cursors and pages as in [GET /messages](#get-messages). A page may have fewer deliveries than
`limit`, or none, although `has_more` is true: continue with `next`. Deleting a message also deletes
its deliveries.

An id stays the same when the server restarts. If `gomail.db` has to be rebuilt, deliveries get new
ids; attempts, and deliveries created by replays, are lost.
"""

SHOW = f"""\
## GET /deliveries/{{id}}

Returns one delivery with the members listed above, except `cursor`, and with its last `attempts`.
The body of an endpoint's answer is cut to {MOST_ANSWER_BYTES} bytes.

```sh
curl --oauth2-bearer "$API_TOKEN" "$URL/deliveries/$DELIVERY"
```

Each of `attempts` holds:
"""

_REPLAY = r'"{\"endpoint\": \"$ENDPOINT\", \"since\": \"2026-01-31\"}"'
DECIDE = f"""\
## POST /deliveries/{{id}}/retry

Makes a delivery due now, in any state, with all of its attempts ahead: a dead or discarded delivery
becomes pending again, a delivered one is sent again. The answer is the delivery. If its endpoint is
paused, it waits until the endpoint is resumed.

```sh
curl --oauth2-bearer "$API_TOKEN" -X POST "$URL/deliveries/$DELIVERY/retry"
```

## POST /deliveries/{{id}}/discard

Discards a delivery that is pending or dead: it isn't sent any more, unless it is retried, and no
longer keeps [retention_days](configuration.md#retention_days) from deleting its message. The answer
is the delivery. A delivery that is already delivered is refused (409 `conflict`).

```sh
curl --oauth2-bearer "$API_TOKEN" -X POST "$URL/deliveries/$DELIVERY/discard"
```

## POST /replays

Sends stored messages to an endpoint again, or for the first time if the endpoint was added after
they arrived. A replay proceeds in the background while there is no new mail to send, and continues
after a restart.

```sh
curl --oauth2-bearer "$API_TOKEN" --json {_REPLAY} "$URL/replays"
```
"""

REPLAY = """\
The answer is 202, or 200 for a dry run:
"""

ENDPOINTS = """\
A replay doesn't include messages received after the request. A message whose delivery to this
endpoint is already pending isn't sent twice.

## GET /endpoints

Lists the configured endpoints, in the order of the configuration, and then former endpoints that
still have deliveries.

```sh
curl --oauth2-bearer "$API_TOKEN" "$URL/endpoints"
```

Each of `endpoints` holds:
"""

STATES = """\
## POST /endpoints/{name}/pause

Stops deliveries to an endpoint until it is resumed. Requests in flight are completed. Deliveries
that wait use up no attempts. The answer is the endpoint.

```sh
curl --oauth2-bearer "$API_TOKEN" -X POST "$URL/endpoints/$ENDPOINT/pause"
```

## POST /endpoints/{name}/resume

Ends a pause, also one that an answer 410 from the endpoint has caused. The answer is the endpoint.

```sh
curl --oauth2-bearer "$API_TOKEN" -X POST "$URL/endpoints/$ENDPOINT/resume"
```
"""

TEST = f"""\
## POST /endpoints/{{name}}/test

Sends a signed sample, even if the endpoint is paused, and returns the result; the status is 200
also if the request failed. The sample is a message with the subject `GoMail test` and the null
sender; it isn't stored. The request may take {MOST_TEST_SECONDS} seconds, or less if the endpoint's
`timeout` is shorter; the command `flask gomail endpoints test` always waits for the `timeout`. Each
worker runs one test at a time; a second one is refused (429).

```sh
curl --oauth2-bearer "$API_TOKEN" -X POST "$URL/endpoints/$ENDPOINT/test"
```
"""


def deliveries_section() -> str:
    """Return the sections of these routes."""
    parts = [
        LIST,
        members(DeliveryListParameters(), "parameter"),
        PAGES,
        members(DeliveryPageSchema()),
        "Each of `deliveries` holds:\n",
        members(DeliverySummarySchema()),
        SHOW,
        members(AttemptSchema()),
        DECIDE,
        members(ReplayRequestSchema()),
        REPLAY,
        members(ReplaySchema()),
        ENDPOINTS,
        members(EndpointSchema()),
        STATES,
        TEST,
        members(EndpointTestSchema()),
    ]
    return "\n".join(parts)
