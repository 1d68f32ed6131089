//! A send, step by step, and what each step costs. No code is here.
//!
//! One payload of 1 KiB from a ledger node at A to one recipient at B, while 64 ledger connections send at once. Microseconds
//! are CPU time as `hack/bench --floor` printed it on two busy cores; the machine decides their size, so read them as shares.
//! The steps without a figure are what `cpu_over_floor` is above 1.
//!
//! ```text
//! A                                                       us   B                                                us
//! 1  TLS, HTTP head and body from the ledger    ┐
//! 2  JSON, base64 into the seal buffer          │
//! 3  80 random bytes, XSalsa20-Poly1305        6 │
//! 4  a box for each recipient, cached keys     3 │
//! 5  SHA3-512: the transaction's name          7 │
//! 6  holder of the key, from a snapshot         │
//! 7  CBOR, reduced to this recipient            │
//! 8  POST /push over a connection that is kept 16 ──► 9  TLS, HTTP head and body                              15
//!                                                │    10 decode: slices of the body; SHA3-512                  7
//!                                                │    11 insert ─► writer: filter, append, fdatasync, answer  15
//!                                                ◄── 12 201 with the hash, which A compares
//! 13 CBOR with all recipients                    │
//! 14 insert ─► writer: filter, append, fdatasync 15
//! 15 201 with the hash to the ledger          16 ┘ (with 1)
//! ```
//!
//! What keeps it short, and the count or measurement that grows when it is taken out:
//!
//! - **Nothing is answered before its `fdatasync`**, so both are on the way of every send. They are shared: what queues while one
//!   batch is synced is the next batch. At 64 connections a sync is for about 12 records
//!   (`records_that_queue_together_share_one_sync`).
//! - **A new hash is known to be new from memory** (`tessera-store`, `filter.rs`). The index on disk is asked for one new hash in
//!   fifty, not for each at both nodes (`a_new_hash_is_written_without_a_read_of_the_index`).
//! - **A recipient inserts first** and reads only if the hash is taken: `accept_push.rs`.
//! - **One wake-up a batch**: the writer hands all answers of a batch to the runtime at once
//!   ([`tessera_store::Options::answer_on`]), and is itself notified only while it sleeps. A notification is a system call, and the
//!   thread that it wakes costs more than that: `hack/bench` prints context switches.
//! - **A send runs in its connection's task** and moves to one of its own only when the ledger goes away in the middle
//!   (`Tasks::finish`, `work_that_is_waited_for_needs_no_task`).
//! - **No handshake**: connections to a peer are kept and bounded, and a send beyond the bound waits for one. What is
//!   said to a peer again and again (URI, headers, codec) is built when the peer announces itself and read from an immutable
//!   snapshot. No lock is on the way that a slow peer could hold.
//! - **One question to the random source** for the master key and both nonces.
//!
//! `tests/counts` holds the number of allocations, handshakes, syncs and index reads of a send to committed figures. To measure a
//! change, build the node before and after it and run `hack/bench --against BEFORE`.
