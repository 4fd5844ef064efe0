"""Every bound and time-out of the engine: unit, default, reason.

One frozen object that is made at start and handed down. Settings in the server fill it from the
environment; a test makes its own. Must not import anything of the engine.
"""

from __future__ import annotations

import msgspec

KIB = 1024
MIB = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's bounds. Every buffer has one, and says what happens when it is full."""

    # -- sessions
    max_sessions: int = 10_000
    """Running sessions in the process; further ones are refused as `overloaded`."""
    max_sessions_per_owner: int = 0
    """Running sessions of one owner; further ones are refused as `rate_limited`. 0: no limit."""
    grace_s: float = 5.0
    """How long an attached session waits for a reader after the last one left."""
    drain_s: float = 30.0
    """How long running sessions may go on after a drain began; the process ends within 1 s more."""
    drain_stop_s: float = 0.4
    """How long a drain then waits for the sessions that it stopped. One that stalls for longer, in
    a commit or in closing its upstream, is left as the journal has it."""
    retention_s: float = 24 * 3600.0
    """How long ended sessions are kept."""
    deadline_s: float = 3600.0
    """A session's deadline, unless the request names an earlier one: nothing runs for ever."""
    max_deadline_s: float = 24 * 3600.0

    # -- the log
    window_events: int = 512
    """Entries that a session keeps in memory for its readers, and how far an attached session may
    run ahead of its fastest reader: about 12 s of one fast voice."""
    window_bytes: int = 256 * KIB
    """The same in bytes of text: a session never holds much more than this for slow readers."""
    kept_events: int = 64
    """Entries that it keeps in memory though the journal has them and every reader has taken them:
    about 2 s for whoever lost the connection; an older cursor is served from the journal."""
    rollup_s: float = 0.025
    """Deltas of a part that come faster than this are joined before they are numbered: 40 messages
    a second look continuous, and faster ones cost CPU for nothing."""
    rollup_bytes: int = 16 * KIB
    """A joined delta is numbered at this size, however young it is."""
    merge_bytes: int = 16 * KIB
    """Adjacent deltas are merged for a lagging reader up to this size."""
    journal_lag_s: float = 0.050
    """Deltas are handed to the journal within this time."""

    # -- a session's memory
    max_part_bytes: int = 16 * MIB
    """One part's text; a model that writes more has its part failed as `provider_bad_output`."""
    memory_journal_bytes: int = 256 * MIB
    """What the memory journal holds for all sessions; the oldest ended ones go first."""
    memory_journal_session_bytes: int = 32 * MIB
    """What it holds for one session; its oldest entries go first, and readers get a gap."""
    journal_pending_bytes: int = 32 * MIB
    """Text that a durable journal has taken and not yet written; then writers wait for room, and
    at four times as much it refuses: a disk that slow is as good as broken."""
    journal_gather_s: float = 0.020
    """How long a durable journal gathers batches that nobody waits for: each commit has its price,
    however small it is. Together with half of `journal_lag_s` it is within `journal_lag_s`."""
    neighbour_s: float = 0.001
    """How long a milestone that nobody waits for waits for its neighbours, so that one commit
    makes them durable: where a phase ends the next one begins within so much."""
    journal_tail_bytes: int = 16 * MIB
    """What the SQLite journal keeps in its tail, on disk and in memory, of sessions that run; then
    the oldest is moved to its place among the logs."""
    journal_settle_s: float = 1.0
    """After this long without a write the whole tail is moved, some sessions at a time."""
    journal_probe_s: float = 1.0
    """While writing fails and nobody writes, it is tried this often whether it works again."""

    # -- Redis
    redis_connect_s: float = 5.0
    """How long a connection to Redis may take, greeting included."""
    redis_timeout_s: float = 5.0
    """How long one answer may take; then its connection counts as dead. A disk that syncs each
    commit may need a second when others write."""
    redis_retry_s: float = 0.05
    """The wait before a lost connection is tried again; doubles, with jitter."""
    redis_max_retry_s: float = 1.0
    """The longest such wait: Redis is back for at most this long before we notice."""
    redis_lanes: int = 64
    """Questions on their way over one connection; further ones wait. Writes are not counted."""
    board_inbox: int = 256
    """Messages that wait in Redis for one process; then the oldest are lost, and asked for again.
    With the largest messages that is 64 MiB."""
    redis_block_s: float = 2.0
    """How long a read waits in Redis for messages before it is asked anew."""
    redis_pipeline: int = 128
    """Writes that are sent to Redis before an answer is waited for: about 2 ms of its time."""

    # -- the cluster
    lease_s: float = 15.0
    """After this long without a word from a process, others take its sessions. Longer than any
    pause that a healthy process makes; a reader's process counts as gone after the same time."""
    take_s: float = 1.0
    """A process looks this often for sessions to take over; offered ones are announced, too."""
    ask_s: float = 20.0
    """How long a question waits for the owner of a session: a lease and a takeover."""
    follow_s: float = 1.0
    """A process that reads a session of another says so at least this often."""
    position_s: float = 0.100
    """How often, at most, it says how far its fastest reader is: an attached session's window is
    seconds long."""
    tell_s: float = 0.020
    """How often, at most, an owner's process says that there is more to read: what was written
    since the last time is joined, and it is less than the journal's own lag."""

    # -- attempts
    max_attempts: int = 3
    """Attempts of a part, the first included."""
    backoff_s: float = 0.25
    """The wait before the second attempt; doubles with each further one, with jitter."""
    max_backoff_s: float = 10.0
    """The longest wait that we choose. A provider's Retry-After may be longer."""
    max_retry_after_s: float = 60.0
    """A Retry-After above this fails the part: nobody waits that long."""

    # -- pipelines
    progress_s: float = 0.250
    """A bar that moves with the text is shown again at most this often."""
    partial_s: float = 0.100
    """A rater's half-written feedback is shown again at most this often."""
    selection_s: float = 3600.0
    """How long a person has to choose; then the best candidates are taken (contract 5)."""
    rater_context_tokens: int = 8_000
    """What a rater's request may hold, in tokens; what does not fit is left out and counted."""
    max_template_bytes: int = 256 * KIB
    """A prompt template's file; a larger one is refused."""

    # -- actors
    mailbox_size: int = 32
    """Messages in a mailbox; then the sender waits."""
    close_s: float = 5.0
    """How long cleaning up (closing upstreams, the last commit) may be shielded from a cancel."""

    # -- providers
    provider_connect_s: float = 5.0
    provider_read_s: float = 45.0
    """The longest silence of a provider in mid-stream."""
    provider_concurrency: int = 256
    """Calls at one time to one provider; further ones wait. 0: no limit."""
    provider_output_tokens: int = 1_000
    """What a call without `max_tokens` reserves of the provider's tokens a minute."""
    provider_breaker_failures: int = 5
    """A provider's breaker opens when so many of the last `provider_breaker_calls` failed."""
    provider_breaker_calls: int = 10
    provider_breaker_reset_s: float = 15.0
    """How long it is then left alone, before one call tries it."""
    provider_tail_s: float = 2.0
    """After the finish reason: how long we wait for the usage that may still come."""
    provider_event_bytes: int = 4 * MIB
    """One event of a provider's stream; a larger one is no delta but a fault."""

    # -- sources of knowledge
    source_timeout_s: float = 12.0
    """One source's whole answer, retries included; then it gives nothing and a note."""
    source_connect_s: float = 3.0
    """A connection to a source: without a network everything is given up within seconds."""
    source_read_s: float = 10.0
    """The longest silence of a source in mid-answer."""
    source_lanes: int = 8
    """Questions that one source works on at a time; further ones wait in its mailbox."""
    source_mailbox: int = 64
    """Questions that wait for one source; a further one is answered with a note at once."""
    source_attempts: int = 3
    """Requests for one answer, the first included."""
    source_backoff_s: float = 0.3
    """The wait before the second request; doubles, with jitter."""
    source_max_wait_s: float = 4.0
    """A longer Retry-After of a source is not waited for: the source is noted as rate limited."""
    source_breaker_failures: int = 4
    """Failed requests in a row after which a source is not asked."""
    source_breaker_reset_s: float = 30.0
    """How long it is then left alone."""
    source_answer_bytes: int = 8 * MIB
    """A source's answer that is larger is not read to its end."""
    source_cache_bytes: int = 128 * MIB
    """What the cache on disk holds; the answers that were not used for longest go first."""
    source_cache_s: float = 7 * 24 * 3600.0
    """How old a cached answer may be: collections change by the week."""
    import_batch_rows: int = 2000
    """Rows of an import that are committed together: the most that a cancel throws away."""
