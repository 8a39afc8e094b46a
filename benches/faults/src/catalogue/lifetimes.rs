//! T16 to T28: how servers begin and end, and what surrounds them.

use super::{Checks, Fault};

pub const ALL: &[Fault] = &[
    Fault {
        name: "T16",
        fault: "a port in use, EACCES, a bad address",
        injected: "bound twice, a privileged port as nobody, another machine's address",
        expected: "an error that names the address; the port is free for the next at once",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "binding::t16_a_port_is_free_for_the_next_server_at_once",
                    "binding::t16_an_address_that_cannot_be_had_is_named_with_its_reason",
                ],
            },
            Checks {
                target: "bad_input",
                tests: &[
                    "a_port_in_use_is_named",
                    "a_privileged_port_is_named",
                    "an_address_of_another_machine_is_named",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T17",
        fault: "no IPv6",
        injected: "a network with IPv6 disabled",
        expected: "a clear error; localhost works",
        checks: &[
            Checks { target: "faults", tests: &["binding::t17_localhost_is_served_and_reached_without_ipv6"] },
            Checks { target: "connect", tests: &["every_address_that_was_tried_is_told"] },
        ],
        gap: None,
    },
    Fault {
        name: "T18",
        fault: "a Unix path in use, stale, a symlink, too long",
        injected: "the files themselves, races of two servers",
        expected: "a server that lives is not displaced, what is no socket is left alone",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "unix_paths::t18_a_stale_socket_is_removed_only_when_asked",
                    "unix_paths::t18_a_server_that_lives_is_not_displaced",
                    "unix_paths::t18_what_is_no_socket_is_left_alone",
                    "unix_paths::t18_only_the_servers_own_file_is_unlinked",
                    "unix_paths::t18_a_path_that_is_too_long_is_refused_and_the_longest_is_not",
                    "unix_paths::t18_the_mode_is_the_one_asked_for_whatever_the_umask",
                    "unix_paths::t18_of_two_servers_that_start_on_a_stale_path_exactly_one_has_it",
                    "unix_paths::t18_a_server_that_closes_takes_no_successors_path_away",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T19",
        fault: "SIGPIPE",
        injected: "its default disposition, a write after a reset",
        expected: "an error, and the process lives",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "signals::t19_a_write_to_nobody_with_sigpipe_in_its_default_disposition",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T20",
        fault: "exec while serving",
        injected: "a handler starts a program that outlives the server",
        expected: "it keeps neither client nor port",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "signals::t20_a_program_that_outlives_the_server_keeps_neither_client_nor_port",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T21",
        fault: "the clock jumps",
        injected: "SIGSTOP for longer than the timeouts; the wall clock is read nowhere, which clippy.toml sees to",
        expected: "nobody is cut who kept to the timeouts",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "signals::t21_a_stop_longer_than_the_timeouts_cuts_nobody_who_has_kept_to_them",
                ],
            },
        ],
        gap: Some("a wall clock that is set: not injected, as only Instant is used"),
    },
    Fault {
        name: "T22",
        fault: "a flood for the log, a logger that blocks",
        injected: "a logger that sleeps, while much goes wrong",
        expected: "at most a line a second; old clients are not held up",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "signals::t22_a_logger_that_blocks_holds_up_no_old_client",
                    "reactor_shortages::t22_a_logger_that_blocks_is_called_once_a_second_however_much_goes_wrong",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T23",
        fault: "a stop of an idle server",
        injected: "at any moment after the start",
        expected: "at once, without polling",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "stopping::t23_a_stop_takes_effect_at_once_whenever_it_comes",
                    "reactor_stopping::t23_a_stop_takes_effect_at_once_whenever_it_comes",
                    "signals::an_idle_server_makes_no_system_call",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T24",
        fault: "a stop before, during, after; from anywhere; twice",
        injected: "random interleavings, eight threads, handlers",
        expected: "each stop counts, none hangs",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "stopping::t24_stops_before_during_and_after_from_everywhere_at_once",
                    "stopping::t24_eight_threads_stop_a_server_twice_each",
                    "stopping::t24_a_stop_before_the_start_makes_the_start_return",
                    "reactor_stopping::t24_stops_before_during_and_after_from_everywhere_at_once",
                    "reactor_stopping::t24_eight_threads_stop_a_server_twice_each",
                    "reactor_stopping::t24_a_stop_before_the_start_makes_the_start_return",
                ],
            },
            Checks { target: "interleavings", tests: &["interleavings"] },
            Checks {
                target: "models/gate",
                tests: &[
                    "a_stop_wakes_the_server",
                    "one_drain_and_never_behind_a_handler",
                    "a_drain_sees_the_last_request_end",
                ],
            },
        ],
        gap: None,
    },
    Fault {
        name: "T25",
        fault: "a stop under load",
        injected: "clients that come and go, a handler that reads, one that computes",
        expected: "drained, cut at the deadline, reported; nothing cut short unseen",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "stopping::t25_a_stop_under_load_with_a_handler_that_reads_and_one_that_computes",
                    "stopping::t25_idle_clients_do_not_hold_up_a_stop_longer_than_the_drain",
                    "reactor_stopping::t25_who_waits_in_the_queue_at_a_stop_is_served",
                    "reactor_stopping::t25_idle_clients_are_let_go_at_once",
                    "reactor_stopping::t25_a_stop_under_load_with_a_callback_that_computes",
                    "reactor_stopping::t25_an_answer_under_way_is_sent_to_its_end_and_a_client_that_does_not_read_is_cut_visibly",
                ],
            },
            Checks {
                target: "stopping",
                tests: &[
                    "a_cut_upload_does_not_look_complete",
                    "the_listener_is_closed_while_the_drain_goes_on",
                ],
            },
            Checks { target: "coroutine_stopping", tests: &["a_stop_cuts_whatever_a_handler_waits_in"] },
        ],
        gap: None,
    },
    Fault {
        name: "T26",
        fault: "a drop without a stop",
        injected: "in every state of a server",
        expected: "the port is free, nothing is left behind, no hang",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "stopping::t26_a_drop_in_any_state_frees_the_port_and_never_hangs",
                    "stopping::t26_a_server_dropped_after_handle_request_cuts_what_its_threads_still_serve",
                    "stopping::t26_servers_made_and_dropped_leave_nothing_behind",
                    "reactor_stopping::t26_a_drop_in_any_state_frees_the_port_and_never_hangs",
                    "reactor_stopping::t26_servers_made_and_dropped_leave_nothing_behind",
                ],
            },
            Checks { target: "coroutine_stopping", tests: &["a_dropped_server_leaves_no_coroutine_behind"] },
        ],
        gap: None,
    },
    Fault {
        name: "T27",
        fault: "a wake-up lost, doubled, spurious",
        injected: "every interleaving (loom)",
        expected: "none is lost, none harms",
        checks: &[
            Checks {
                target: "models/mailbox",
                tests: &[
                    "whatever_is_sent_is_read",
                    "a_letter_that_comes_between_the_look_and_the_wait_is_read",
                    "a_loop_that_is_busy_is_not_woken",
                    "a_letter_sent_at_the_close_is_left_or_given_back",
                ],
            },
            Checks { target: "models/gate", tests: &["a_freed_place_wakes_the_acceptor", "a_stop_wakes_the_server"] },
            Checks {
                target: "models/crew",
                tests: &[
                    "a_later_job_wakes_a_thread",
                    "a_wake_up_that_meets_nobody_does_not_keep_the_next_from_being_sent",
                ],
            },
        ],
        gap: Some("on mio over poll(2) the tests are run by .ci/run; mio's waker over a pipe is not covered"),
    },
    Fault {
        name: "T28",
        fault: "a greedy connection",
        injected: "one that sends as fast as it can beside a hundred that ping",
        expected: "a turn has a budget, the others have theirs",
        checks: &[
            Checks {
                target: "faults",
                tests: &[
                    "reactor_slow::t28_a_turn_has_a_budget_after_which_the_others_have_theirs",
                    "reactor_slow::t28_one_that_sends_as_fast_as_it_can_beside_a_hundred_that_ping",
                ],
            },
            Checks { target: "coroutine", tests: &["a_greedy_client_holds_nobody_up"] },
        ],
        gap: None,
    },
];
