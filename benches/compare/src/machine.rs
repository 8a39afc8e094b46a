use std::fs;

use anyhow::{ensure, Context};
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The machine the figures were taken on, and which of its processors does what.
#[derive(Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub kernel: String,
    pub server_cpu: usize,
    pub load_cpu: usize,
    /// False with one processor only: then the load runs on the server's and every figure is coarser.
    pub separate_cpus: bool,
    /// The most descriptors a process may have, which bounds the crowds.
    pub descriptors: u64,
}

impl Machine {
    /// Looks at the machine, raises this process's descriptor limit, and pins it to the load's processor.
    pub fn prepare() -> anyhow::Result<Machine> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("reading this process's processors")?;
        let cpus: Vec<usize> = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect();
        ensure!(!cpus.is_empty(), "this process is allowed no processor");
        let server_cpu = cpus[0];
        let load_cpu = *cpus.get(1).unwrap_or(&server_cpu);
        pin(load_cpu)?;
        Ok(Machine {
            processor: processor_name(),
            processors: cpus.len(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            server_cpu,
            load_cpu,
            separate_cpus: server_cpu != load_cpu,
            descriptors: raise_descriptor_limit()?,
        })
    }

    #[cfg(test)]
    pub fn example() -> Machine {
        Machine {
            processor: "An <old> one".to_owned(),
            processors: 2,
            kernel: "6.1.0-cloud".to_owned(),
            server_cpu: 0,
            load_cpu: 1,
            separate_cpus: true,
            descriptors: 1024,
        }
    }
}

/// Keeps this process, and whatever threads and processes it starts from now on, on one processor.
pub fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu).with_context(|| format!("processor {cpu}"))?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("pinning to processor {cpu}"))
}

/// Raises the soft limit to the hard one, and returns it.
pub fn raise_descriptor_limit() -> anyhow::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the descriptor limit")?;
    Ok(hard)
}

fn processor_name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    name.trim_start_matches([' ', '\t', ':']).to_owned()
}
