//! How large the common instance types are.
//!
//! Assumes a name of the right form. Guarantees sizes only for families whose names follow AWS's rule; of the others
//! nothing is claimed. *Source*: <https://aws.amazon.com/ec2/instance-types/>.

/// The size of an instance type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) vcpus: u64,
    /// *Units*: MiB.
    pub(super) memory_mib: u64,
}

/// The size of `instance_type`, when its name tells.
pub(super) fn size_of(instance_type: &str) -> Option<Size> {
    let (family, size) = instance_type.split_once('.')?;
    if burstable(instance_type) {
        return burstable_size(family, size);
    }
    let mut letters = family.chars();
    let memory_per_vcpu = match letters.next()? {
        'c' => 2048,
        'm' => 4096,
        'r' => 8192,
        _ => return None,
    };
    // The families before the fifth, and these, follow no rule.
    let generation = letters.next()?.to_digit(10)?;
    if generation < 5 || matches!(family, "c5n" | "m8azn") {
        return None;
    }
    let vcpus = match size {
        "medium" => 1,
        "large" => 2,
        "xlarge" => 4,
        other => other.strip_suffix("xlarge")?.parse::<u64>().ok()?.checked_mul(4)?,
    };
    Some(Size { vcpus, memory_mib: vcpus.checked_mul(memory_per_vcpu)? })
}

/// Whether the type is of a family that earns and spends CPU credits: the second and later ones of `t`.
pub(super) fn burstable(instance_type: &str) -> bool {
    let mut letters = instance_type.chars();
    letters.next() == Some('t') && letters.next().is_some_and(|c| c.is_ascii_digit() && c > '1')
}

fn burstable_size(family: &str, size: &str) -> Option<Size> {
    if !matches!(family, "t2" | "t3" | "t3a" | "t4g") {
        return None;
    }
    let (vcpus, memory_mib) = match size {
        "nano" => (2, 512),
        "micro" => (2, 1024),
        "small" => (2, 2048),
        "medium" => (2, 4096),
        "large" => (2, 8192),
        "xlarge" => (4, 16_384),
        "2xlarge" => (8, 32_768),
        _ => return None,
    };
    // The small ones of the second family have one processor.
    let vcpus = if family == "t2" && memory_mib < 4096 { 1 } else { vcpus };
    Some(Size { vcpus, memory_mib })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_size_or_nothing() {
        for (name, size) in [
            ("t3.medium", Some((2, 4096))),
            ("t2.micro", Some((1, 1024))),
            ("m7i-flex.large", Some((2, 8192))),
            ("c5.9xlarge", Some((36, 73_728))),
            ("r6g.medium", Some((1, 8192))),
            ("m5.metal", None),
            ("m4.large", None),
            ("mac2.metal", None),
            ("t1.micro", None),
            ("p5.48xlarge", None),
        ] {
            assert_eq!(size_of(name).map(|size| (size.vcpus, size.memory_mib)), size, "{name}");
        }
    }
}
