//! From a Java stack trace to the one line that says why. The trace vanishes
//! from Connect as soon as the instance restarts, so this line is all that is
//! kept. How a line is made fit to be shown is not decided here.

use super::text::{one_line, sanitize};

/// The root cause of a Java stack trace: the last `Caused by:` line of the
/// outermost chain, else the first line that says anything; `None` for a trace
/// of blanks. An indented `Caused by:` belongs to a `Suppressed:` exception
/// (`Throwable.printStackTrace`), which is no cause.
pub fn root_cause(trace: &str) -> Option<String> {
    let says = |line: &str| !sanitize(line).trim().is_empty();
    let line = trace
        .lines()
        .filter_map(|line| line.strip_prefix("Caused by: "))
        .rfind(|rest| says(rest))
        .or_else(|| trace.lines().find(|line| says(line)))?;
    Some(one_line(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::text::LONGEST;
    use proptest::prelude::*;

    const TRACE: &str = "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask\n\
        \tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:624)\n\
        Caused by: java.sql.SQLException: could not write\n\tat Writer.java:1\n\t... 10 more\n\
        \tSuppressed: java.io.IOException: close failed\n\tCaused by: java.io.EOFException: suppressed\n\
        Caused by: java.net.ConnectException: Connection refused (db1:5432)\n\t... 24 more\n";

    #[test]
    fn the_root_cause_is_the_last_cause_of_the_outer_chain() {
        assert_eq!(root_cause(TRACE).unwrap(), "java.net.ConnectException: Connection refused (db1:5432)");
    }

    #[test]
    fn a_trace_without_causes_gives_its_first_line() {
        assert_eq!(
            root_cause("java.lang.RuntimeException\n\tat a.b(C.java:1)").unwrap(),
            "java.lang.RuntimeException"
        );
        assert_eq!(root_cause("\n\r\n  x\n").unwrap(), "x");
        assert_eq!(root_cause(" \n\t\n"), None);
        assert_eq!(root_cause(" \u{2}\n\u{200b} \n"), None, "what cannot be printed says nothing");
        assert_eq!(root_cause("first\nCaused by: \u{7}\n").unwrap(), "first");
        assert_eq!(root_cause("first\nCaused by: \n").unwrap(), "first");
    }

    #[test]
    fn a_cause_is_one_short_line_without_control_characters() {
        let cause = root_cause(&format!("a\u{1b}]0;title\u{7}b\u{202e}c {}", "x".repeat(400))).unwrap();
        assert!(cause.starts_with("a]0;titlebc x"), "{cause}");
        assert_eq!(cause.chars().count(), 300);
    }

    #[test]
    fn a_message_that_quotes_a_whole_record_takes_no_time() {
        // Each of these took more than a minute.
        for piece in ["password=a ", "password", "//a:b@ ", "Bearer abcdefgh ", "\"secret\": \""] {
            let cause = root_cause(&piece.repeat(1_000_000 / piece.len())).unwrap();
            assert!(cause.chars().count() <= LONGEST && !cause.contains("b@"), "{cause}");
        }
        let hidden = root_cause(&format!("x password={}", "hunter2".repeat(1_000_000))).unwrap();
        assert_eq!(hidden, "x password=***");
    }

    proptest! {
        #[test]
        fn any_text_gives_one_clean_short_line(text in "(password|//|:|=|\"|@|[a-zé\u{130} ]|\\\\|basic |\\PC){0,40}") {
            let cause = root_cause(&text).unwrap_or_default();
            prop_assert!(cause.chars().count() <= LONGEST);
            prop_assert!(!cause.contains(char::is_control));
        }
    }
}
