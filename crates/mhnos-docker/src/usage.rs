//! What a container uses, from the numbers engines give.

use bollard::models::{ContainerCpuStats, ContainerStatsResponse};

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Percent of one processor, since the sample before.
    pub processor: f64,
    /// Bytes of memory, without what the system keeps of files.
    pub memory: u64,
    /// Bytes it may use.
    pub memory_limit: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Bytes it received.
    pub received: u64,
    /// Bytes it sent.
    pub sent: u64,
}

impl Usage {
    pub(crate) fn new(stats: &ContainerStatsResponse) -> Self {
        let memory = stats.memory_stats.as_ref();
        let cached = memory.and_then(|memory| {
            let details = memory.stats.as_ref()?;
            // The first is of cgroups v2, the other of v1.
            details.get("inactive_file").or_else(|| details.get("total_inactive_file")).copied()
        });
        let networks = || stats.networks.iter().flat_map(|networks| networks.values());
        Self {
            processor: processor(stats.precpu_stats.as_ref(), stats.cpu_stats.as_ref()).unwrap_or_default(),
            memory: memory
                .and_then(|memory| memory.usage)
                .unwrap_or_default()
                .saturating_sub(cached.unwrap_or_default()),
            memory_limit: memory.and_then(|memory| memory.limit).unwrap_or_default(),
            processes: stats.pids_stats.as_ref().and_then(|pids| pids.current).unwrap_or_default(),
            received: networks().filter_map(|network| network.rx_bytes).sum(),
            sent: networks().filter_map(|network| network.tx_bytes).sum(),
        }
    }
}

/// Both count nanoseconds: the container's of all processors, and the system's of all processors.
fn processor(before: Option<&ContainerCpuStats>, now: Option<&ContainerCpuStats>) -> Option<f64> {
    let used = |stats: &ContainerCpuStats| stats.cpu_usage.as_ref()?.total_usage;
    let (before, now) = (before?, now?);
    let own = used(now)?.checked_sub(used(before)?)?;
    let all = now.system_cpu_usage?.checked_sub(before.system_cpu_usage?).filter(|&all| all > 0)?;
    Some(own as f64 / all as f64 * f64::from(now.online_cpus.unwrap_or(1)) * 100.0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerCpuUsage, ContainerMemoryStats};

    use super::*;

    #[test]
    fn percent_are_of_one_processor_and_memory_is_without_files() {
        let sample = |own, all| ContainerCpuStats {
            cpu_usage: Some(ContainerCpuUsage { total_usage: Some(own), ..ContainerCpuUsage::default() }),
            system_cpu_usage: Some(all),
            online_cpus: Some(2),
            ..ContainerCpuStats::default()
        };
        let mut stats = ContainerStatsResponse {
            precpu_stats: Some(sample(100, 1000)),
            cpu_stats: Some(sample(600, 2000)),
            memory_stats: Some(ContainerMemoryStats {
                usage: Some(50),
                limit: Some(100),
                stats: Some(HashMap::from([("total_inactive_file".into(), 20)])),
                ..ContainerMemoryStats::default()
            }),
            ..ContainerStatsResponse::default()
        };
        let usage = Usage::new(&stats);
        assert_eq!((usage.processor, usage.memory, usage.memory_limit), (100.0, 30, 100));
        // The first sample has nothing before it.
        stats.precpu_stats = Some(ContainerCpuStats::default());
        assert_eq!(Usage::new(&stats).processor, 0.0);
    }
}
