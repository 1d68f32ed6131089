//! Kubernetes quantities, as far as telling whether two spellings are one value: the API server rewrites `1024Mi` to
//! `1Gi` and `0.5` to `500m`, which is no drift.

/// Whether `a` and `b` are the same quantity.
pub(super) fn equal(a: &str, b: &str) -> bool {
    matches!((parse(a), parse(b)), (Some(a), Some(b)) if a == b)
}

/// Whether `a` is a smaller quantity than `b`.
pub fn is_less(a: &str, b: &str) -> bool {
    matches!((parse(a), parse(b)), (Some(a), Some(b)) if a < b)
}

/// The value in billionths. `None`: not a quantity, or beyond 128 bits.
fn parse(text: &str) -> Option<i128> {
    let split = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let nanos = decimal(number)?;
    let (numerator, denominator) = scale(suffix)?;
    nanos.checked_mul(numerator)?.checked_div(denominator)
}

fn decimal(text: &str) -> Option<i128> {
    const NANO: u32 = 9;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let whole = whole.trim_start_matches(['+', '-']);
    if whole.is_empty() && fraction.is_empty() || fraction.len() > NANO as usize {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
    let padding = 10_i128.pow(NANO - u32::try_from(fraction.len()).ok()?);
    let value = digits(whole)?.checked_mul(1_000_000_000)?.checked_add(digits(fraction)? * padding)?;
    Some(if negative { -value } else { value })
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (10_i128.checked_pow(exponent)?, 1)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_are_equal() {
        for (a, b) in [
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1e3", "1k"),
            ("1.5Gi", "1536Mi"),
            ("0", "0m"),
        ] {
            assert!(equal(a, b), "{a} {b}");
        }
    }

    #[test]
    fn values_are_compared_across_spellings() {
        assert!(is_less("1000Mi", "1Gi"));
        assert!(!is_less("1024Mi", "1Gi"));
        assert!(!is_less("2Gi", "1Gi"));
        assert!(!is_less("", "1Gi"));
    }

    #[test]
    fn other_values_and_other_texts_are_not() {
        for (a, b) in [("1Gi", "1G"), ("1", "2"), ("abc", "abd"), ("", "0"), (".", "0"), ("1Q", "1Q")] {
            assert!(!equal(a, b), "{a} {b}");
        }
    }
}
