//! U1 to U11: UDP.

use super::{Checks, Fault};

pub const ALL: &[Fault] = &[
    Fault {
        name: "U1",
        fault: "an answer from elsewhere",
        injected: "another socket sends to the client's port",
        expected: "never seen",
        checks: &[Checks { target: "udp_client_answers", tests: &["datagrams_from_elsewhere_are_never_seen"] }],
        gap: None,
    },
    Fault {
        name: "U2",
        fault: "a forged source",
        injected: "a raw socket, a million wrong ids",
        expected: "passed over, the deadline stays, the right answer is taken",
        checks: &[Checks {
            target: "udp_client_answers",
            tests: &[
                "a_million_wrong_ids_are_passed_over",
                "a_forged_source_does_not_make_a_wrong_id_right",
                "wrong_answers_do_not_extend_the_deadline",
            ],
        }],
        gap: None,
    },
    Fault {
        name: "U3",
        fault: "an answer that is late, or comes twice",
        injected: "held past the timeout, doubled",
        expected: "never the next request's",
        checks: &[Checks {
            target: "udp_client_answers",
            tests: &[
                "a_late_answer_is_never_the_next_requests",
                "an_answer_that_comes_twice_is_never_the_next_requests",
                "an_answer_to_an_earlier_attempt_is_never_the_next_requests",
            ],
        }],
        gap: None,
    },
    Fault {
        name: "U4",
        fault: "loss, delay, another order",
        injected: "a network of seeded dice, 30 % lost each way",
        expected: "≥ 90 % answered, none later than its deadline",
        checks: &[Checks {
            target: "udp_client_retries",
            tests: &[
                "most_requests_survive_a_bad_network",
                "the_bad_network_is_as_bad_as_it_says",
                "a_request_is_repeated_in_growing_pauses_and_not_too_often",
                "a_request_ends_at_its_deadline",
            ],
        }],
        gap: None,
    },
    Fault {
        name: "U5",
        fault: "ICMP port unreachable",
        injected: "a port where nobody is bound, clients that have gone",
        expected: "for a client a hint, for a server no end",
        checks: &[
            Checks {
                target: "udp_client_retries",
                tests: &[
                    "a_refusal_is_a_hint_until_the_deadline",
                    "a_refusal_ends_a_request_at_once_where_that_is_wanted",
                    "sending_survives_refusals",
                ],
            },
            Checks {
                target: "datagram_faults",
                tests: &[
                    "ten_thousand_clients_that_have_gone_do_not_end_the_server",
                    "a_refusal_on_a_connected_socket_does_not_end_the_server",
                ],
            },
            Checks { target: "reactor_udp", tests: &["answers_to_nobody_end_nothing"] },
            Checks { target: "reactor_udp_faults", tests: &["errors_in_a_row_are_all_told"] },
        ],
        gap: None,
    },
    Fault {
        name: "U6",
        fault: "a datagram that is too long",
        injected: "longer than the limit",
        expected: "dropped and counted, never cut unasked",
        checks: &[
            Checks {
                target: "datagram_limits",
                tests: &[
                    "exactly_the_most_is_delivered_and_more_is_dropped_and_counted",
                    "a_dropped_datagram_is_not_answered_nor_served_cut",
                ],
            },
            Checks { target: "reactor_udp", tests: &["what_is_longer_than_the_limit_is_dropped_and_counted"] },
            Checks { target: "udp_client_lengths", tests: &["an_answer_above_the_limit_is_an_error_and_never_cut"] },
        ],
        gap: None,
    },
    Fault {
        name: "U7",
        fault: "EMSGSIZE",
        injected: "a datagram longer than UDP carries is sent",
        expected: "an error, and the socket goes on",
        checks: &[
            Checks {
                target: "datagram_servers",
                tests: &["an_answer_that_is_too_long_is_an_error_and_the_socket_goes_on"],
            },
            Checks {
                target: "reactor_udp",
                tests: &["the_longest_datagram_goes_both_ways_and_a_longer_one_is_refused_before_it_is_sent"],
            },
            Checks {
                target: "udp_client_lengths",
                tests: &["a_request_that_no_datagram_can_carry_is_refused_before_it_is_sent"],
            },
        ],
        gap: None,
    },
    Fault {
        name: "U8",
        fault: "an empty datagram",
        injected: "sent",
        expected: "a request like any other",
        checks: &[
            Checks {
                target: "datagram_servers",
                tests: &["an_empty_datagram_is_a_request", "a_thousand_empty_datagrams"],
            },
            Checks { target: "reactor_udp", tests: &["an_empty_datagram_is_one"] },
            Checks { target: "udp_client_lengths", tests: &["empty_requests_and_answers_are_valid"] },
        ],
        gap: None,
    },
    Fault {
        name: "U9",
        fault: "a receive buffer that overflows",
        injected: "a burst at slow handlers, four senders",
        expected: "handled + dropped + lost = sent; memory flat",
        checks: &[
            Checks {
                target: "datagram_faults",
                tests: &[
                    "a_burst_is_served_dropped_and_counted_or_dropped_by_the_system",
                    "a_larger_receive_buffer_keeps_more_of_a_burst",
                    "four_senders_and_every_datagram_accounted_for",
                ],
            },
            Checks { target: "datagram_memory", tests: &["a_flood_does_not_grow_the_process"] },
            Checks { target: "datagram_batches", tests: &["a_flood_over_all_threads_loses_nothing_unseen"] },
        ],
        gap: None,
    },
    Fault {
        name: "U10",
        fault: "two servers made to face each other; amplification",
        injected: "a datagram with a forged sender, port 0, answers longer than requests",
        expected: "silence; answers limited where asked for",
        checks: &[
            Checks {
                target: "datagram_faults",
                tests: &[
                    "two_servers_made_to_face_each_other_fall_silent",
                    "a_forged_sender_of_port_0_is_dropped_and_counted",
                ],
            },
            Checks { target: "datagram_answers", tests: &["two_full_servers_do_not_go_on_answering_each_other"] },
            Checks {
                target: "datagram_limits",
                tests: &["answers_are_limited_if_asked_for", "an_answer_limit_counts_all_answers_together"],
            },
            Checks { target: "reactor_udp", tests: &["answers_have_their_limit"] },
        ],
        gap: None,
    },
    Fault {
        name: "U11",
        fault: "port theft",
        injected: "bound a second time with reuse",
        expected: "refused, unless both say so",
        checks: &[Checks {
            target: "datagram_sockets",
            tests: &["nobody_else_can_bind_the_port", "a_port_is_shared_only_where_both_say_so"],
        }],
        gap: None,
    },
];
