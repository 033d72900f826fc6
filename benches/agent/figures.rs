//! Times, the table they are printed in, and the machine they are from.

use std::process::Command;
use std::time::Duration;

/// Durations of the same thing, sorted.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort();
        Self(times)
    }

    pub(crate) fn at(&self, per_mille: usize) -> Duration {
        self.0[(self.0.len() - 1) * per_mille / 1000]
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// As people read it.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

pub(crate) fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// What was measured, and what it should be.
#[derive(Default)]
pub(crate) struct Table(Vec<[String; 4]>);

impl Table {
    /// A figure without a target.
    pub(crate) fn note(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        self.0.push([what.into(), measured.into(), String::new(), String::new()]);
    }

    /// A figure that is to be at most `limit`.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, limit: f64, unit: &str) {
        self.judge(what, figure, format!("≤ {limit}{unit}"), figure <= limit, unit);
    }

    /// A figure that is to be at least `limit`.
    pub(crate) fn at_least(&mut self, what: &str, figure: f64, limit: f64, unit: &str) {
        self.judge(what, figure, format!("≥ {limit}{unit}"), figure >= limit, unit);
    }

    fn judge(&mut self, what: &str, figure: f64, target: String, is_met: bool, unit: &str) {
        let verdict = if is_met { "met" } else { "SHORT" };
        let figure = if figure >= 100.0 { format!("{figure:.0}{unit}") } else { format!("{figure:.2}{unit}") };
        self.0.push([what.to_owned(), figure, target, verdict.to_owned()]);
    }

    /// What could not be measured here.
    pub(crate) fn skip(&mut self, what: &str, reason: &str) {
        eprintln!("SKIPPED: {what}: {reason}");
        self.0.push([what.to_owned(), format!("not measured: {reason}"), String::new(), String::new()]);
    }

    pub(crate) fn print(&self) {
        println!("\n| what | measured | target | |\n|---|---|---|---|");
        for [what, measured, target, verdict] in &self.0 {
            println!("| {what} | {measured} | {target} | {verdict} |");
        }
    }
}

/// What the figures come from.
pub(crate) fn print_machine() {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned())
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let unknown = || "unknown".to_owned();
    println!("date     {}", said("date", &["--utc", "+%F"]).unwrap_or_else(unknown));
    println!("cpu      {cores} × {}", model.map_or("unknown", |(_, model)| model));
    println!("kernel   {}", read("/proc/sys/kernel/osrelease").trim());
    println!("libvirt  {}", said("libvirtd", &["--version"]).unwrap_or_else(unknown));
    println!("qemu     {}", said("qemu-system-x86_64", &["--version"]).unwrap_or_else(unknown));
    println!("kvm      {}", std::env::var("COVIRT_KVM").unwrap_or_else(|_| unknown()));
    println!("load     {}", read("/proc/loadavg").trim());
}
