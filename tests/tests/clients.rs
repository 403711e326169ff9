//! The mirror and its clients: Debian's containerd 1.6, podman and skopeo, and the requests of
//! containerd 2.x, docker and CRI-O, sent again.
//!
//! Fifteen rules were measured with real clients; a mirror that breaks one of them fails pulls.
//! Where each is tested:
//!
//! | # | the rule | the test |
//! |---|---|---|
//! | 1 | what cannot be finished ends by FIN before its length is reached, never by a reset | `bodies::rule_1_wrong_bytes_end_the_connection_by_fin_before_the_length_is_reached`, `bodies::rule_1_an_origin_that_goes_away_ends_the_connection_by_fin_too`; with containerd: `containerd::rules_1_and_2_a_body_that_fails_is_taken_up_by_the_next_host_where_it_ended` |
//! | 2 | who resumes and cannot be served gets 404 or 5xx | the same with containerd; `bodies::rules_2_and_3_who_resumes_a_failed_body_gets_an_error_at_once_and_never_an_empty_part` |
//! | 3 | no 206 without a byte, time and again | `bodies::rules_2_and_3_…` |
//! | 4 | wrong bytes are never a complete answer | `faults.rs`: `wrong_bytes_from_the_origin_are_never_a_complete_answer`; `bodies::rules_2_and_3_…` for parts |
//! | 5 | an error at the request sends the client on, object by object | `containerd::rule_5_what_the_mirror_refuses_comes_from_the_next_host_object_by_object`, `containerd::rule_5_a_mirror_that_is_not_there_or_does_not_know_the_registry_costs_nothing_but_time` |
//! | 6 | back-pressure is 503, never 429 of our own | `dfdaemon/src/mirror/error.rs`: `no_failure_of_ours_is_429`; `manners::rule_6_and_headers_through_rate_limits_are_told_and_are_never_our_own_429` |
//! | 7 | headers within 30 s, then bytes as they come | `bodies::rule_7_headers_do_not_wait_for_a_slow_body`, `bodies::rule_7_an_origin_that_says_nothing_is_an_error_within_30_seconds` |
//! | 8 | chunks are parts, side by side, dropped by the client | `bodies::rules_8_to_10_chunks_are_parts_to_the_end_and_the_first_request_is_all`; `mirror.rs`: `an_open_ended_range_does_not_fetch_the_whole_tail` |
//! | 9 | `bytes=0-` is answered 200 with all, `bytes=N-` is honoured | `bodies::rules_8_to_10_…`; `mirror.rs`: `ranges_are_answered_as_containerd_needs_them` |
//! | 10 | a 206 covers everything to the end | `bodies::rules_8_to_10_…` |
//! | 11 | no Content-Encoding, whatever the client takes | `manners::rule_11_no_answer_is_encoded_whatever_the_client_takes` |
//! | 12 | HEAD of a manifest has length, type and digest | `mirror.rs`: `manifests_are_answered_as_clients_expect` |
//! | 13 | what was found by tag is had by digest, or an error at once | `bodies::rule_13_what_was_found_by_tag_is_had_by_digest_even_if_the_supernode_has_gone` |
//! | 14 | all `Accept` lines count | `manners::rule_14_all_accept_lines_reach_the_registry` |
//! | 15 | HTTP/1.1 only | `manners::rule_15_the_mirror_speaks_http_1_1_and_nothing_else` |
//!
//! Beside the rules: how a registry is named, pages, names that are none (`routes`), refusals and
//! conditions (`manners`), and one request's id on its whole way (`request_id`). The system's heart is
//! `containerd::three_containerds_pull_one_image_at_once_and_the_origin_sends_each_blob_once`.
//!
//! Whoever lacks a client has a test that fails and names the package: `scripts/deps` installs it.

#[path = "clients/bodies.rs"]
mod bodies;
#[path = "clients/containerd.rs"]
mod containerd;
#[path = "clients/manners.rs"]
mod manners;
#[path = "clients/podman.rs"]
mod podman;
#[path = "clients/request_id.rs"]
mod request_id;
#[path = "clients/rig.rs"]
mod rig;
#[path = "clients/routes.rs"]
mod routes;
