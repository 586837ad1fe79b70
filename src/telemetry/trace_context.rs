//! Which trace a request is part of (W3C Trace Context, `traceparent`).

/// What `traceparent` says: `00-TRACE-SPAN-FLAGS`, in small hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceContext {
    /// The trace.
    pub trace: u128,
    /// The span that is the parent of what comes next.
    pub span: u64,
    /// Whether somebody before has decided that the trace is kept.
    pub is_sampled: bool,
}

/// Digits of version 00.
const LENGTH: usize = 55;

impl TraceContext {
    /// What a field's `value` says; `None` if that is none (section 3.2.2).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(LENGTH)?;
        let mut parts = known.split(|b| *b == b'-');
        let [version, trace, span, flags] = std::array::from_fn(|_| parts.next());
        let version = number(version?, 2)?;
        // Later versions may say more, behind another hyphen.
        let has_end = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with(b"-"),
        };
        let trace = number(trace?, 32)?;
        let span = u64::try_from(number(span?, 16)?).ok()?;
        let flags = number(flags?, 2)?;
        let is_good = has_end && parts.next().is_none() && trace != 0 && span != 0;
        is_good.then_some(Self {
            trace,
            span,
            is_sampled: flags & 1 == 1,
        })
    }

    /// A trace that begins here.
    pub fn begin(is_sampled: bool) -> Self {
        Self {
            trace: fastrand::u128(1..),
            span: fastrand::u64(1..),
            is_sampled,
        }
    }

    /// The same trace, with a span of our own.
    pub fn child(self) -> Self {
        Self {
            span: fastrand::u64(1..),
            ..self
        }
    }

    /// Appends the field's value.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"00-");
        write_digits(out, self.trace, 32);
        out.push(b'-');
        write_digits(out, self.span.into(), 16);
        out.extend_from_slice(if self.is_sampled { b"-01" } else { b"-00" });
    }

    /// Appends the trace alone.
    pub fn write_trace(&self, out: &mut Vec<u8>) {
        write_digits(out, self.trace, 32);
    }
}

/// A number of so many digits; capital letters are none.
fn number(digits: &[u8], count: usize) -> Option<u128> {
    if digits.len() != count {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn write_digits(out: &mut Vec<u8>, number: u128, count: u32) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for place in (0..count).rev() {
        out.push(DIGITS[(number >> (4 * place)) as usize & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_what_is_written() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert!(context.is_sampled);
        let mut written = Vec::new();
        context.write(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), GOOD);
        let child = context.child();
        assert_eq!(child.trace, context.trace);
        assert_ne!(child.span, context.span);
    }

    #[test]
    fn what_is_none_is_not_read() {
        let zero_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        let zero_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        for bad in [
            "",
            &GOOD[..54],
            &format!("{GOOD}x"),
            &format!("{GOOD}-x"),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replace("-01", "_01"),
            zero_trace,
            zero_span,
        ] {
            assert_eq!(TraceContext::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = GOOD.replacen("00", "01", 1);
        for value in [later.clone(), format!("{later}-what-ever")] {
            assert!(TraceContext::parse(value.as_bytes()).is_some(), "{value}");
        }
        assert_eq!(TraceContext::parse(format!("{later}x").as_bytes()), None);
    }
}
