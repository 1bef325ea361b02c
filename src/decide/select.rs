//! Which connectors guardian may touch: `--include` and `--exclude`, wildcard
//! patterns over connector names. Exclude wins. And which of the patterns no
//! connector matches: such a one is a mistake that nobody would see.

use wildmatch::WildMatch;

use super::text::{name_some, show_name};

/// What one setting holds: `*` is any text, `?` one character, and case counts.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    /// `--exclude` or `GUARDIAN_EXCLUDE`, as it was given.
    setting: String,
    all: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    matcher: WildMatch,
}

impl Patterns {
    /// The patterns that this setting was given.
    pub fn new(setting: &str, patterns: &[String]) -> Self {
        let all = patterns.iter().map(|text| Pattern { text: text.clone(), matcher: WildMatch::new(text) });
        Self { setting: setting.to_owned(), all: all.collect() }
    }

    fn missing(&self, includes: bool) -> impl Iterator<Item = Missing<'_>> {
        self.all.iter().map(move |pattern| Missing {
            setting: &self.setting,
            includes,
            pattern,
            but_for_case: WildMatch::new_case_insensitive(&pattern.text),
            alike: None,
        })
    }

    /// Whether one of theirs matches one of these, where these are taken as names.
    pub fn are_matched_by(&self, others: &Self) -> bool {
        self.all.iter().any(|pattern| others.match_any(&pattern.text))
    }

    /// Whether one of them matches this connector.
    pub fn match_any(&self, connector: &str) -> bool {
        self.all.iter().any(|pattern| pattern.matcher.matches(connector))
    }
}

/// The patterns of `--include` and `--exclude`.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Patterns,
    exclude: Patterns,
}

impl Filter {
    /// A filter of these patterns; no include pattern includes everything.
    pub fn new(include: Patterns, exclude: Patterns) -> Self {
        Self { include, exclude }
    }

    /// Whether guardian may restart this connector.
    pub fn selects(&self, connector: &str) -> bool {
        (self.include.all.is_empty() || self.include.match_any(connector))
            && !self.exclude.match_any(connector)
    }

    /// All its patterns, before any connector is known.
    pub fn unmatched(&self) -> Unmatched<'_> {
        let all = self.include.missing(true).chain(self.exclude.missing(false));
        Unmatched { patterns: all.collect(), includes: self.include.all.len() }
    }
}

/// The patterns that none of the connectors so far matches. It is told the names one by one, because nobody holds those
/// of a whole cluster.
#[derive(Debug)]
pub struct Unmatched<'a> {
    patterns: Vec<Missing<'a>>,
    /// How many patterns `--include` has in all.
    includes: usize,
}

#[derive(Debug)]
struct Missing<'a> {
    setting: &'a str,
    /// It is one of those of `--include`.
    includes: bool,
    pattern: &'a Pattern,
    but_for_case: WildMatch,
    /// The first connector that it matches but for upper and lower case.
    alike: Option<String>,
}

impl<'a> Unmatched<'a> {
    /// These and those of `others`, which include nothing.
    #[must_use]
    pub fn and(mut self, others: &'a Patterns) -> Self {
        self.patterns.extend(others.missing(false));
        self
    }

    /// There is a connector of this name.
    pub fn note(&mut self, connector: &str) {
        self.patterns.retain(|missing| !missing.pattern.matcher.matches(connector));
        for missing in &mut self.patterns {
            if missing.alike.is_none() && missing.but_for_case.matches(connector) {
                missing.alike = Some(connector.to_owned());
            }
        }
    }

    /// `--include` is given and matches no connector at all: nothing will ever be restarted.
    pub fn nothing_included(&self) -> bool {
        let left = self.patterns.iter().filter(|missing| missing.includes).count();
        left > 0 && left == self.includes
    }

    /// What a person should know of those that are left: a sentence for each setting and reason.
    pub fn warnings(self) -> Vec<String> {
        const NAMED: usize = 5;
        let mut alike: Vec<(&str, String, Vec<String>)> = Vec::new();
        for missing in &self.patterns {
            let (why, pattern) = (missing.why(), format!("\"{}\"", show_name(&missing.pattern.text)));
            match alike.iter_mut().find(|(setting, other, _)| *setting == missing.setting && *other == why) {
                Some((_, _, patterns)) => patterns.push(pattern),
                None => alike.push((missing.setting, why, vec![pattern])),
            }
        }
        let warning = |(setting, why, patterns): (&str, String, Vec<String>)| {
            format!("{setting}: no connector matches {}{why}", name_some(patterns, NAMED))
        };
        alike.into_iter().map(warning).collect()
    }
}

impl Missing<'_> {
    /// What its author may have meant.
    fn why(&self) -> String {
        let text = &self.pattern.text;
        let like_regex = text.contains(['^', '$', '\\', '|', '(', ')', '[', ']', '+']) || text.contains(".*");
        if self.setting.starts_with("--") && text.contains(',') {
            format!(" (commas separate only in the environment: give {} once for each)", self.setting)
        } else if let Some(connector) = &self.alike {
            format!(" (upper and lower case count: there is {})", show_name(connector))
        } else if like_regex {
            " (it takes the wildcards * and ?, not regular expressions)".to_owned()
        } else {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclude_wins_and_case_counts() {
        let list = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (include, exclude, name, selected) in [
            (&[][..], &[][..], "orders", true),
            (&["orders"], &[], "orders", true),
            (&["orders"], &[], "orders-2", false),
            (&["orders*"], &[], "orders-2", true),
            (&["orders-?"], &[], "orders-10", false),
            (&["Orders"], &[], "orders", false),
            (&["*"], &["*-test"], "orders-test", false),
            (&["a", "b*"], &["bb"], "bb", false),
            (&["a b"], &[], "a b", true),
            (&["日*"], &[], "日本", true),
        ] {
            let filter = Filter::new(
                Patterns::new("--include", &list(include)),
                Patterns::new("--exclude", &list(exclude)),
            );
            assert_eq!(filter.selects(name), selected, "{name} in {include:?} but {exclude:?}");
        }
    }
}
