"""Every bound and default of the load tool, with its reason. The defaults are polite."""

from __future__ import annotations

RATE_PER_S = 5.0
"""Requests a second, unless told: a server on a laptop holds it."""

DURATION_S = 10.0
"""How long requests arrive, unless told."""

MAX_DURATION_S = 3600.0
"""No run is longer: whoever wants a day starts 24."""

REQUESTS = 1_000
"""Requests in one run, unless told."""

MAX_REQUESTS = 1_000_000
"""A plan is kept in memory: some 100 bytes a request."""

MAX_OPEN = 1_000
"""Requests that may be open at once, unless told; a process has 1,024 descriptors by default."""

MOST_OPEN = 20_000
"""What `--max-open` may say: the loopback has 28,000 ports."""

USERS = 10
"""Users of a closed loop, unless told."""

MAX_PROCESSES = 64
"""More workers than any machine that loads itself has cores for."""

SETTLE_S = 30.0
"""How long requests that are open may take to end once no more arrive."""

CONNECT_S = 10.0
"""The longest that a connection may take to open."""

CLOSE_S = 0.5
"""The longest that saying goodbye may take: it is not measured."""

CANCEL_WITHIN_S = 2.0
"""A cancel that has no effect for so long counts as none, unless a limit says otherwise."""

LINGER_S = 0.25
"""How long a cancelled request is still listened to: a token that comes now should not."""

RESUME_WITHIN_S = 30.0
"""How long a client goes on trying to come back."""

RECONNECT_FIRST_S, RECONNECT_LONGEST_S = 0.05, 1.0
"""The wait between two tries doubles from one to the other."""

LONGEST_US = 3_600_000_000
"""What a histogram can hold: an hour, in µs."""

DIGITS = 3
"""Significant digits of a percentile: an error of 0.1 % at most."""

LAG_TICK_S = 0.01
"""How often a worker looks at its own lag."""

MAX_LAG_MS = 50.0
"""A worker whose loop lags more at its p99 measures itself."""

MAX_CPU_SHARE = 0.85
"""A worker that uses more of a core than this has queues of its own."""

HELD_BACK_SHARE = 0.01
"""More starts than this that had to wait for `--max-open`, and the load was not the planned one."""

PROGRESS_S = 0.5
"""How often a worker tells how far it is."""

START_SERVER_S = 30.0
"""How long a server that the tool starts may take until its port accepts."""

STOP_SERVER_S = 15.0
"""How long it may take to end when told to; then it is killed."""

READ_BYTES = 256 * 1024
"""Read at once: a burst of a thousand frames is one wake-up."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""A larger message is no token."""

SLOW_BYTES_PER_S = 2_000.0
"""What a slow reader takes, unless told."""

SLOW_READ_BYTES = 256
"""What a slow reader takes at once: some messages, so that it is slow and never stops."""

SLOW_BUFFER_BYTES = 4096
"""A slow reader's kernel buffer: about the least that Linux gives."""

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Of an HTTP answer that is read whole."""

MAX_PROBES = 12
"""Runs of a search for the highest rate."""

SEARCH_PRECISION = 0.1
"""A search ends when the rate that holds and the one that does not differ by less than this."""

REPORTED_ERRORS = 8
"""Kinds of errors that a table shows; the JSON has all."""
