//! A digest in words: a title, and a bullet for each cause. Plain text, within what a chat takes; each sink escapes it its
//! own way.

use std::fmt::Write;
use std::time::Duration;

use super::{Message, ShowCause};
use crate::decide::advice::Advice;
use crate::decide::cause::Cause;
use crate::decide::policy::Next;
use crate::decide::tell::{Bullet, Key};
use crate::decide::text::{cut, name_some, show_name};
use crate::decide::time::Timestamp;

/// Discord takes 2,000 characters, and every other chat more.
pub(super) const LONGEST: usize = 1_900;
/// So many causes have a bullet.
const BULLETS: usize = 5;
/// So many connectors of a bullet are named.
const NAMED: usize = 3;
/// Characters of a cause, and of a name.
const LONGEST_CAUSE: usize = 200;
const LONGEST_NAME: usize = 60;

impl Message<'_> {
    /// One line: the cluster, what, how many, how long.
    pub(super) fn title(&self) -> String {
        let test = if self.speaker.test { "TEST: " } else { "" };
        let cluster = cut(self.speaker.cluster, LONGEST_NAME);
        format!("{test}{cluster}: {}", self.what())
    }

    /// What, how many, how long; the same to whomever it is said.
    pub fn what(&self) -> String {
        let bullets = &self.digest.bullets;
        if self.speaker.test {
            return "guardian can tell you here what needs a person".to_owned();
        }
        let mut parts: Vec<String> = Vec::new();
        for key in Key::ALL {
            let of_key: Vec<&Bullet> = bullets.iter().filter(|bullet| bullet.key == key).collect();
            let Some(first) = of_key.first() else { continue };
            if !key.is_about_instances(first) {
                parts.push(match (key, first.of) {
                    (Key::Unreachable, _) => {
                        format!("guardian cannot work since {}", clock(first.since))
                    }
                    (Key::StateLost, _) => "the state was lost".to_owned(),
                    _ => format!("guardian works again{}", after(first.lasted)),
                });
                continue;
            }
            let tasks = of_key.iter().map(|bullet| bullet.tasks()).sum();
            let connectors = of_key.iter().map(|bullet| bullet.members.len()).sum();
            let what = how_many(tasks, connectors);
            let again = if of_key.iter().all(|bullet| bullet.repeat) { "still " } else { "" };
            let since = of_key.iter().map(|bullet| bullet.since).min().unwrap_or(first.since);
            let lasted = of_key.iter().filter_map(|bullet| bullet.lasted).max();
            parts.push(match key {
                Key::GaveUp => format!("{what} {again}given up, needs a person"),
                Key::CrashLoop => format!("{what} {again}in a crash loop"),
                Key::Failing => format!("{what} failing for {}", span(self.digest.at.since(since))),
                Key::Stuck => format!("{what} {again}neither running nor failed"),
                Key::NoTasks => format!("{what} {again}without tasks"),
                Key::Recovered => format!("{what} recovered{}", after(lasted)),
                _ => format!("{what} left alone"),
            });
        }
        parts.join("; ")
    }

    /// Title and bullets of at most so many characters, each line as `escape` makes it.
    pub(super) fn lines(&self, longest: usize, escape: impl Fn(&str) -> String) -> Vec<String> {
        let title = escape(&self.title());
        let bullets = &self.digest.bullets;
        let room = |lines: &[String]| lines.iter().map(|line| line.chars().count().saturating_add(1)).sum();
        for shown in (0..=bullets.len().min(BULLETS)).rev() {
            let mut lines = vec![title.clone()];
            lines.extend(bullets.iter().take(shown).map(|bullet| escape(&self.bullet(bullet))));
            match bullets.len().saturating_sub(shown) {
                0 => {}
                1 => lines.push("and 1 more cause".to_owned()),
                more => lines.push(format!("and {more} more causes")),
            }
            lines.extend(self.link_of(None).map(|link| escape(&link)));
            let needs: usize = room(&lines);
            if needs <= longest {
                return lines;
            }
        }
        vec![cut(&title, longest)]
    }

    pub(super) fn text(&self, longest: usize, escape: impl Fn(&str) -> String) -> String {
        self.lines(longest, escape).join("\n")
    }

    fn bullet(&self, bullet: &Bullet) -> String {
        let mut text = String::from("• ");
        let cause = bullet.cause.as_deref().and_then(|cause| self.cause(cause));
        let since = clock(bullet.since);
        match (bullet.key, bullet.of) {
            (Key::Unreachable, _) => {
                let why = bullet.why.as_deref().unwrap_or_default();
                let _ = write!(
                    text,
                    "no run could do its work since {since} ({}): {}; nothing is restarted meanwhile",
                    runs(bullet.restarts.into()),
                    cut(why, LONGEST_CAUSE),
                );
                return text;
            }
            (Key::StateLost, _) => {
                return "• the state could not be understood and was set aside: every failure counts as new"
                    .to_owned();
            }
            (Key::Recovered, Some(Key::Unreachable)) => {
                let _ = write!(text, "since {since}{} no run could do its work", how_long(bullet));
                return text;
            }
            _ => {}
        }
        let what = how_many(bullet.tasks(), bullet.members.len());
        if let Some(cause) = cause {
            let _ = write!(text, "{cause}: ");
        }
        let _ = write!(text, "{what} ");
        let _ = match (bullet.key, bullet.of) {
            (Key::Recovered, Some(Key::CrashLoop)) => write!(text, "not restarted for 24 h"),
            (Key::Recovered, _) => write!(text, "recovered{}", after(bullet.lasted)),
            (Key::LeftAlone, _) => write!(text, "{}", bullet.why.as_deref().unwrap_or("left alone")),
            (Key::GaveUp, _) => write!(text, "given up, failed since {since}"),
            (Key::CrashLoop, _) => write!(text, "restarted 6 times or more within 24 h, and failed again"),
            (Key::Stuck, _) => write!(text, "neither running nor failed since {since}"),
            (Key::NoTasks, _) => write!(text, "RUNNING without a single task since {since}"),
            _ => write!(text, "failing since {since}"),
        };
        let names = bullet.members.keys().map(|name| cut(&show_name(name), LONGEST_NAME));
        let _ = write!(text, ": {}", name_some(names, NAMED));
        if bullet.restarts > 0 && !matches!(bullet.key, Key::LeftAlone | Key::CrashLoop) {
            let plural = if bullet.restarts == 1 { "" } else { "s" };
            let up_to = if bullet.instances() > 1 { "up to " } else { "" };
            let _ = write!(text, "; {up_to}{} restart{plural}", bullet.restarts);
        }
        if !matches!(bullet.key, Key::Recovered | Key::LeftAlone) {
            self.what_next(bullet, &mut text);
        }
        text
    }

    fn what_next(&self, bullet: &Bullet, text: &mut String) {
        let advice = bullet.cause.as_ref().map_or(Advice::Unknown, |cause| cause.advice);
        let next = bullet.next.map(when);
        let _ = match (bullet.key, advice, next) {
            (Key::GaveUp, _, Some(next)) => {
                write!(text, "; needs you; one more try {next}, or at once: guardian retry NAME")
            }
            (Key::GaveUp, ..) => write!(text, "; needs you; then: guardian retry NAME"),
            (_, Advice::NeedsPerson, _) => {
                write!(text, "; no restart fixes this; then: guardian retry NAME")
            }
            (_, Advice::Passes, Some(next)) => write!(text, "; it passes by itself; next restart {next}"),
            (_, _, Some(next)) => write!(text, "; next restart {next}"),
            _ => Ok(()),
        };
        if let Some(link) = bullet.members.keys().next().and_then(|name| self.link_of(Some(name))) {
            let _ = write!(text, "\n  {link}");
        }
    }

    /// As much of a cause as may be shown.
    pub(super) fn cause(&self, cause: &Cause) -> Option<String> {
        match self.speaker.show {
            ShowCause::Full => Some(cut(&cause.text, LONGEST_CAUSE)),
            ShowCause::Class => {
                let class = cause.text.split([':', ' ']).next().unwrap_or_default();
                // What begins like a message may say anything.
                let is_class =
                    class.contains('.') && class.chars().all(|c| c.is_alphanumeric() || "._$".contains(c));
                is_class.then(|| class.to_owned())
            }
            ShowCause::None => None,
        }
    }

    /// Where a person sees this connector; without one, where he sees all of them.
    pub(super) fn link_of(&self, connector: Option<&str>) -> Option<String> {
        const PLACE: &str = "{connector}";
        let link = self.speaker.link.filter(|_| !self.speaker.test)?;
        match connector {
            Some(name) if link.contains(PLACE) => Some(link.replace(PLACE, &encoded(name))),
            None if !link.contains(PLACE) => Some(link.to_owned()),
            _ => None,
        }
    }
}

impl Key {
    fn is_about_instances(self, bullet: &Bullet) -> bool {
        !matches!(self, Self::Unreachable | Self::StateLost) && bullet.of != Some(Self::Unreachable)
    }
}

/// As one segment of a path (RFC 3986).
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn how_many(tasks: usize, connectors: usize) -> String {
    let of = if connectors == 1 { "1 connector".to_owned() } else { format!("{connectors} connectors") };
    match tasks {
        0 => of,
        1 => format!("1 task of {of}"),
        tasks => format!("{tasks} tasks of {of}"),
    }
}

fn runs(count: u64) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}

fn when(next: Next) -> String {
    match next {
        Next::Runs(0 | 1) => "in the next run".to_owned(),
        Next::Runs(count) => format!("in {count} runs"),
        Next::At(moment) => format!("at {}", clock(moment)),
    }
}

fn after(lasted: Option<Duration>) -> String {
    lasted.map_or_else(String::new, |lasted| format!(" after {}", span(lasted)))
}

fn how_long(bullet: &Bullet) -> String {
    bullet.lasted.map_or_else(String::new, |lasted| {
        format!(" for {} ({})", span(lasted), runs(bullet.restarts.into()))
    })
}

/// `27 Nov 02:15 UTC` would need a calendar: `2026-11-27 02:15 UTC`.
fn clock(moment: Timestamp) -> String {
    let text = moment.to_string();
    let minutes: String = text.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect();
    format!("{minutes} UTC")
}

/// In the two largest units, down to minutes.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let minutes = seconds / 60;
    let shown = if minutes == 0 {
        Duration::from_secs(seconds)
    } else if minutes < 24 * 60 {
        Duration::from_secs(minutes.saturating_mul(60))
    } else {
        Duration::from_secs((minutes / 60).saturating_mul(60 * 60))
    };
    humantime::format_duration(shown)
        .to_string()
        .replace("days", "d")
        .replace("day", "d")
        .replace('m', " min")
        .replace('h', " h")
        .replace('d', " d")
}
