//! Prometheus' text format 0.0.4 from the library's OpenMetrics, which names a counter without its `_total`.

/// The same metrics in the older format, which every reader knows.
pub(super) fn of_open_metrics(text: &str) -> String {
    let (mut shown, mut help) = (String::with_capacity(text.len()), None);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                other => ("", other),
            };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                shown.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            shown.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_are_named_as_their_samples() {
        let text = "# HELP a Help.\n# TYPE a counter\na_total{x=\"1\"} 1\n# HELP b B.\n# TYPE b info\nb_info{v=\"2\"} 1\n\
                    # HELP c C.\n# TYPE c histogram\nc_sum 0.0\n# EOF\n";
        let expected = "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1\"} 1\n# HELP b_info B.\n\
                        # TYPE b_info gauge\nb_info{v=\"2\"} 1\n# HELP c C.\n# TYPE c histogram\nc_sum 0.0\n";
        assert_eq!(of_open_metrics(text), expected);
    }
}
