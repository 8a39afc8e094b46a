//! T1 to T15: shortages, and what clients do.

use super::{Checks, Fault};

pub const ALL: &[Fault] = &[
    Fault {
        name: "T1",
        fault: "EMFILE",
        injected: "the process's descriptor limit at what it has, then restored",
        expected: "old clients are served, accepting backs off, all who wait are served afterwards",
        checks: &[Checks {
            target: "faults",
            tests: &[
                "shortages::t1_out_of_descriptors_old_clients_are_served_and_new_ones_when_it_is_over",
                "reactor_shortages::t1_out_of_descriptors_a_loop_serves_on_and_accepts_by_its_timer",
                "reactor_shortages::t1_a_connection_that_ends_is_followed_by_a_try_at_once",
                "reactor_shortages::t1_a_loop_that_is_woken_for_something_else_does_not_try",
            ],
        }],
        gap: None,
    },
    Fault {
        name: "T2",
        fault: "ENFILE, ENOBUFS, ENOMEM",
        injected: "accept fails by script, and under strace",
        expected: "as T1, and counted",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "accept_errors::t2_all_clients_are_served_through_shortages_which_are_counted",
                    "accept_errors::t2_a_lasting_shortage_is_retried_a_few_times_a_second_and_survived",
                    "accept_errors::t2_a_request_that_ends_is_followed_by_a_try_at_once",
                    "reactor_shortages::t2_t3_all_clients_are_served_through_accepts_that_fail",
                ],
            },
            Checks { target: "models/gate", tests: &["a_request_that_ends_after_the_shortage_wakes_the_acceptor"] },
        ],
        gap: None,
    },
    Fault {
        name: "T3",
        fault: "ECONNABORTED, EPROTO, ENETDOWN, EPERM",
        injected: "accept fails by script, and clients that reset before they are accepted",
        expected: "tried again at once, never fatal",
        checks: &[Checks {
            target: "faults",
            tests: &[
                "accept_errors::t3_a_lost_client_is_no_reason_to_wait_and_a_shortage_is",
                "accept_errors::t3_as_many_aborted_as_good",
                "accept_errors::t3_losses_without_end_do_not_spin",
                "peers::t3_a_client_that_resets_before_it_is_accepted",
                "reactor_shortages::t3_as_many_aborted_as_good",
                "reactor_shortages::t3_clients_that_reset_before_they_are_accepted",
            ],
        }],
        gap: None,
    },
    Fault {
        name: "T4",
        fault: "EBADF, EINVAL, ENOTSOCK of the listener",
        injected: "accept fails by script for good",
        expected: "serving ends with the error, what is under way drains",
        checks: &[Checks {
            target: "faults",
            tests: &[
                "accept_errors::t4_an_unusable_listener_ends_the_serving_and_what_is_under_way_drains",
                "accept_errors::t4_handle_request_says_so_too",
                "reactor_shortages::t4_an_unusable_listener_ends_the_serving",
            ],
        }],
        gap: None,
    },
    Fault {
        name: "T5",
        fault: "EINTR",
        injected: "signals without SA_RESTART, SIGSTOP and SIGCONT under load",
        expected: "no request harmed, no timeout extended",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "signals::t5_interruptions_harm_no_request_and_extend_no_timeout",
                    "signals::t5_interruptions_extend_neither_a_deadline_nor_a_write",
                ],
            },
            Checks { target: "udp_client", tests: &["interruptions_extend_nothing"] },
        ],
        gap: None,
    },
    Fault {
        name: "T6",
        fault: "a thread cannot be started",
        injected: "RLIMIT_NPROC of a user of its own, a dispatch that refuses",
        expected: "that client alone is closed, and counted; no place is lost",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "shortages::t6_threads_that_cannot_be_started_cost_their_clients_alone",
                    "accept_errors::t6_a_refusing_dispatch_costs_that_client_alone",
                    "reactor_shortages::t6_a_loop_that_cannot_be_started_leaves_no_other_behind",
                ],
            },
            Checks { target: "models/crew", tests: &["a_job_whose_thread_does_not_start_is_given_back_or_done"] },
        ],
        gap: None,
    },
    Fault {
        name: "T7",
        fault: "the ceiling of threads",
        injected: "more clients than places",
        expected: "never more, everybody is served in the end, or told so",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "shortages::t7_never_more_threads_than_the_ceiling_and_everybody_is_served",
                    "shortages::t7_whoever_is_over_the_ceiling_is_told_so_where_that_is_wanted",
                    "shortages::t7_a_ceiling_near_the_kernels_is_refused",
                    "reactor_shortages::t7_never_more_connections_than_the_ceiling_and_everybody_is_served",
                    "reactor_shortages::t7_whoever_is_over_the_ceiling_is_told_so_where_that_is_wanted",
                ],
            },
            Checks { target: "models/gate", tests: &["the_limit_is_exact"] },
        ],
        gap: None,
    },
    Fault {
        name: "T8",
        fault: "a handler panics",
        injected: "in the handler, in the error hook, with a lock held",
        expected: "its own request ends, counted, nothing leaks",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "peers::t8_panics_end_their_own_request_alone",
                    "reactor_leaks::ten_thousand_connections_that_end_badly_leave_nothing_behind",
                ],
            },
            Checks {
                target: "reactor_callbacks",
                tests: &["a_panic_harms_no_other_connection", "panic_in_every_callback"],
            },
            Checks { target: "coroutine", tests: &["a_panic_ends_its_coroutine_alone_and_finish_runs"] },
        ],
        gap: None,
    },
    Fault {
        name: "T9",
        fault: "a reset in mid-stream",
        injected: "SO_LINGER 0 at every byte of a request",
        expected: "an error of that handler alone, nothing leaks",
        checks: &[Checks {
            target: "faults",
            tests: &[
                "peers::t9_resets_at_every_byte_of_a_request",
                "reactor_leaks::ten_thousand_connections_that_end_badly_leave_nothing_behind",
            ],
        }],
        gap: None,
    },
    Fault {
        name: "T10",
        fault: "a half-close",
        injected: "the client ends its direction after the request, or says nothing more",
        expected: "the whole answer; the idle one is put out at the read timeout",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "peers::t10_a_client_that_has_ended_its_direction_gets_the_whole_answer",
                    "peers::t10_a_client_that_says_nothing_is_put_out_at_the_read_timeout",
                ],
            },
            Checks { target: "closing", tests: &["the_client_may_end_its_direction_first"] },
        ],
        gap: None,
    },
    Fault {
        name: "T11",
        fault: "a close with unread input",
        injected: "the client sends what nobody reads",
        expected: "the answer is not lost",
        checks: &[
            Checks { target: "faults", tests: &["peers::t11_an_answer_survives_input_that_nobody_reads"] },
            Checks {
                target: "closing",
                tests: &[
                    "bytes_that_nobody_read_do_not_destroy_the_answer",
                    "the_answer_reaches_a_client_that_still_sends",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T12",
        fault: "slowloris",
        injected: "a byte at a time, each within the read timeout",
        expected: "cut at the deadline of the request, honest clients unharmed",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "slow::t12_clients_that_trickle_are_cut_at_the_deadline_of_the_request",
                    "reactor_slow::t12_clients_that_trickle_are_cut_at_the_deadline_by_the_loops_timers",
                ],
            },
            Checks { target: "coroutine_waiting", tests: &["a_deadline_bounds_a_line_that_never_ends"] },
        ],
        gap: None,
    },
    Fault {
        name: "T13",
        fault: "a client that does not read",
        injected: "large answers, a receive buffer as small as it can be",
        expected: "cut at the write timeout or the deadline; memory bounded",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "slow::t13_clients_that_do_not_read_are_cut_and_cost_no_memory",
                    "reactor_slow::t13_a_client_that_does_not_read_is_cut_at_the_write_timeout_after_its_last_byte",
                    "reactor_slow::t13_clients_that_do_not_read_cost_no_more_than_their_write_buffers",
                ],
            },
            Checks { target: "coroutine_waiting", tests: &["a_write_to_one_who_does_not_read_ends_at_its_timeout"] },
        ],
        gap: None,
    },
    Fault {
        name: "T14",
        fault: "partial writes",
        injected: "small socket buffers, a stream that takes 1 to n bytes, would block, is interrupted",
        expected: "nothing lost, repeated or swapped",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "slow::t14_small_buffers_and_a_reader_of_small_pieces",
                    "slow::t14_whatever_the_stream_does_to_writes_nothing_is_lost_repeated_or_swapped",
                    "slow::t14_after_a_failure_half_way_nothing_more_goes_out",
                    "slow::t14_reads_in_pieces_and_interrupted_lose_nothing",
                    "slow::t14_messages_of_many_writers_do_not_mix",
                    "reactor_slow::t14_small_buffers_and_a_reader_of_small_pieces",
                ],
            },
            Checks { target: "properties/reactor", tests: &["nothing_is_lost_repeated_or_swapped"] },
        ],
        gap: None,
    },
    Fault {
        name: "T15",
        fault: "a flood of connects",
        injected: "a burst of clients at a server that does not accept yet",
        expected: "no SYN is lost",
        checks: &[Checks { target: "faults", tests: &["binding::t15_a_flood_of_clients_waits_for_no_retransmission"] }],
        gap: None,
    },
];
