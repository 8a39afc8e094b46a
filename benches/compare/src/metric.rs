use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one run of one server gave.
pub type Sample = BTreeMap<Metric, f64>;

/// Everything that is measured, with its name in JSON; the order is that of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Metric {
    #[serde(rename = "exchanges_per_second")]
    PerSecond,
    #[serde(rename = "processor_us_per_exchange")]
    ProcessorUs,
    #[serde(rename = "processor_us_per_exchange_few")]
    ProcessorFewUs,
    #[serde(rename = "processor_us_per_exchange_many")]
    ProcessorManyUs,
    #[serde(rename = "processor_growth")]
    ProcessorGrowth,
    #[serde(rename = "latency_p50_us")]
    P50Us,
    #[serde(rename = "latency_p99_us")]
    P99Us,
    #[serde(rename = "greedy_mib_per_second")]
    GreedyMibPerSecond,
    #[serde(rename = "lost")]
    Lost,
    #[serde(rename = "context_switches_per_exchange")]
    Switches,
    #[serde(rename = "server_busy_percent")]
    ServerBusy,
    #[serde(rename = "load_busy_percent")]
    LoadBusy,
    #[serde(rename = "others_busy_percent")]
    OthersBusy,
    #[serde(rename = "slowest_connect_ms")]
    ConnectMaxMs,
    #[serde(rename = "all_connected_ms")]
    ConnectAllMs,
    #[serde(rename = "all_answered_ms")]
    AnswerAllMs,
    #[serde(rename = "listen_drops")]
    ListenDrops,
    #[serde(rename = "resident_kib_idle")]
    ResidentIdleKib,
    #[serde(rename = "resident_kib_used")]
    ResidentUsedKib,
    #[serde(rename = "resident_growth_percent_second_crowd")]
    ResidentGrowth,
    #[serde(rename = "idle_processor_us_per_second")]
    IdleUsPerSecond,
    #[serde(rename = "stop_p50_ms")]
    StopP50Ms,
    #[serde(rename = "stop_p99_ms")]
    StopP99Ms,
    #[serde(rename = "stop_max_ms")]
    StopMaxMs,
    #[serde(rename = "sent")]
    Sent,
    #[serde(rename = "passed_over")]
    PassedOver,
    #[serde(rename = "handled")]
    Handled,
    #[serde(rename = "dropped_by_server")]
    DroppedByServer,
    #[serde(rename = "dropped_by_kernel")]
    DroppedByKernel,
    #[serde(rename = "unaccounted")]
    Unaccounted,
    #[serde(rename = "resident_mib_first_burst")]
    ResidentFirstMib,
    #[serde(rename = "resident_mib_last_burst")]
    ResidentLastMib,
    #[serde(rename = "resident_growth_percent_bursts")]
    BurstGrowth,
    #[serde(rename = "unanswered_percent")]
    Unanswered,
    #[serde(rename = "wrong_answers")]
    Wrong,
    #[serde(rename = "most_past_deadline_ms")]
    PastDeadlineMs,
    #[serde(rename = "machine_stall_ms")]
    StallMs,
    #[serde(rename = "sent_per_request")]
    SentPerRequest,
    #[serde(rename = "took_seconds")]
    TookSeconds,
}

impl Metric {
    pub fn heading(self) -> &'static str {
        self.describe().0
    }

    pub fn decimals(self) -> usize {
        self.describe().1
    }

    /// Whether it is also shown as a multiple of the first server's: what a server gives or takes, and not what says how it was measured.
    pub fn has_ratio(self) -> bool {
        matches!(
            self,
            Metric::PerSecond
                | Metric::ProcessorUs
                | Metric::ProcessorFewUs
                | Metric::ProcessorManyUs
                | Metric::P50Us
                | Metric::P99Us
                | Metric::GreedyMibPerSecond
                | Metric::ResidentIdleKib
                | Metric::ResidentUsedKib
        )
    }

    /// The heading in the table, the decimals shown.
    fn describe(self) -> (&'static str, usize) {
        match self {
            Metric::PerSecond => ("exch/s", 0),
            Metric::ProcessorUs => ("cpu µs/exch", 2),
            Metric::ProcessorFewUs => ("cpu µs/exch few", 2),
            Metric::ProcessorManyUs => ("cpu µs/exch many", 2),
            Metric::ProcessorGrowth => ("many/few", 2),
            Metric::P50Us => ("p50 µs", 0),
            Metric::P99Us => ("p99 µs", 0),
            Metric::GreedyMibPerSecond => ("greedy MiB/s", 0),
            Metric::Lost => ("lost", 0),
            Metric::Switches => ("switches/exch", 2),
            Metric::ServerBusy => ("server %", 0),
            Metric::LoadBusy => ("load %", 0),
            Metric::OthersBusy => ("others %", 0),
            Metric::ConnectMaxMs => ("slowest connect ms", 1),
            Metric::ConnectAllMs => ("all connected ms", 0),
            Metric::AnswerAllMs => ("all answered ms", 0),
            Metric::ListenDrops => ("drops", 0),
            Metric::ResidentIdleKib => ("KiB idle", 2),
            Metric::ResidentUsedKib => ("KiB once used", 2),
            Metric::ResidentGrowth => ("2nd crowd +%", 1),
            Metric::IdleUsPerSecond => ("idle cpu µs/s", 0),
            Metric::StopP50Ms => ("p50 ms", 3),
            Metric::StopP99Ms => ("p99 ms", 3),
            Metric::StopMaxMs => ("max ms", 3),
            Metric::Sent => ("sent", 0),
            Metric::PassedOver => ("passed over", 0),
            Metric::Handled => ("handled", 0),
            Metric::DroppedByServer => ("server drops", 0),
            Metric::DroppedByKernel => ("kernel drops", 0),
            Metric::Unaccounted => ("unaccounted", 0),
            Metric::ResidentFirstMib => ("MiB 1st burst", 2),
            Metric::ResidentLastMib => ("MiB last burst", 2),
            Metric::BurstGrowth => ("memory +%", 1),
            Metric::Unanswered => ("unanswered %", 1),
            Metric::Wrong => ("wrong", 0),
            Metric::PastDeadlineMs => ("past deadline ms", 1),
            Metric::StallMs => ("stall ms", 1),
            Metric::SentPerRequest => ("sent/request", 2),
            Metric::TookSeconds => ("took s", 1),
        }
    }
}
