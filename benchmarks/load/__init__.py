"""The load tool, `antiphon bench`: it streams from a server at a planned pace, and judges it.

Pure parts, in the order in which data passes them:

    arrivals -> plan -> (adapters, sequence, account) -> measures -> verdict -> report -> table,
                                                                                  sheet, page

and thin I/O around them: `wires` (WebSocket, SSE), `requests` (one request's life), `worker` (one
process), `crew` (its siblings), `server_process` and `upstream` (what may be started beside),
`run` (all of it). A worker only measures; the parent process plans, shows and judges.

Nothing in server/ or engine/ imports this, but the command `antiphon bench`, when it is run.
"""
