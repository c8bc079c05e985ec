//! Chance that a seed and a number decide, the same at any time and in any thread.
//!
//! Called by `load` (which object, what is asked for) and `server::faults` (which fault happens).

/// SplitMix64's output function: every bit of the result depends on every bit of `value`.
pub const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generator's published sequence from seed 0.
    #[test]
    fn known_values() {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let sequence = [0, STEP, STEP.wrapping_mul(2)].map(mixed);
        assert_eq!(sequence, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }
}
