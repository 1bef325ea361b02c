//! Reads Rust as far as the house rules need it: tokens without comments and literals, and the paths among them.
//! No more than that: macros are not expanded, and a name brought in by `use` is judged where it is brought in.

/// An identifier, `::`, `!=`, or one other character, and the line that it stands on.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The tokens of a source, without comments; a string or character literal is one token `""`.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, text) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            (comment_length(rest), None)
        } else if let Some(length) = literal_length(rest) {
            (length, Some("\"\""))
        } else if first == '_' || first.is_alphanumeric() {
            let word = rest.strip_prefix("r#").unwrap_or(rest);
            let end = word.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(word.len());
            (rest.len() - word.len() + end, Some(&word[..end]))
        } else if rest.starts_with("::") || rest.starts_with("!=") {
            (2, Some(&rest[..2]))
        } else if first.is_whitespace() {
            (first.len_utf8(), None)
        } else {
            (first.len_utf8(), Some(&rest[..first.len_utf8()]))
        };
        if let Some(text) = text {
            found.push(Token { line, text: text.to_string() });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The length of the block comment that `rest` starts with; they nest.
fn comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of the string or character literal that `rest` starts with, its prefix included.
fn literal_length(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'c', 'r']);
    let prefix = &rest[..rest.len() - body.len()];
    if !matches!(prefix, "" | "b" | "c" | "r" | "br" | "cr") {
        return None;
    }
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let inner = body[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = inner.find(&close).map_or(inner.len(), |end| end + close.len());
        return Some(rest.len() - inner.len() + end);
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = &body[1..];
    let mut escaped = false;
    let mut end = inner.len();
    for (at, c) in inner.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            end = at + 1;
            break;
        }
    }
    // `'a` is a lifetime, not a character.
    let character = inner.starts_with('\\') || inner[..end].chars().count() == 2;
    (quote == '"' || character).then(|| rest.len() - inner.len() + end)
}

/// A path as the code names it, and how the inline modules around it are called.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
    within: Vec<String>,
}

impl Named {
    pub(super) fn name(&self) -> String {
        self.segments.join("::")
    }

    pub(super) fn parts(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The path from the root of the crate; `None` when it is not of the crate or stays within its module.
    pub(super) fn target(&self, home: &[String]) -> Option<Vec<String>> {
        let parts = self.parts();
        let ups = parts.iter().filter(|part| **part == "super").count();
        let base: Vec<String> = match *parts.first()? {
            "crate" | "connector_guardian" => Vec::new(),
            "self" | "super" if ups > 0 => {
                let here = home.iter().chain(&self.within);
                here.take((home.len() + self.within.len()).saturating_sub(ups)).cloned().collect()
            }
            _ => return None,
        };
        let onward = parts
            .into_iter()
            .filter(|part| !matches!(*part, "crate" | "connector_guardian" | "self" | "super"));
        Some(base.into_iter().chain(onward.map(String::from)).collect())
    }
}

/// Every path in the code, with the groups of `use` spelled out; `*` is a segment.
pub(super) fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut found = Vec::new();
    // One entry for each open brace: the name of the inline module that it opens.
    let mut braces: Vec<Option<String>> = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let text = token.text.as_str();
        let back = |n: usize| {
            at.checked_sub(n).and_then(|at| tokens.get(at)).map_or("", |token| token.text.as_str())
        };
        if text == "{" {
            braces.push((back(2) == "mod").then(|| back(1).to_string()));
        } else if text == "}" {
            braces.pop();
        } else if back(2) == "pub" && back(1) == "(" {
            // `pub(crate)` names nobody.
        } else if identifier(text) && back(1) != "." {
            let within: Vec<String> = braces.iter().flatten().cloned().collect();
            let mut spelled = Vec::new();
            at = spell(tokens, at, &[], &mut spelled);
            found.extend(spelled.into_iter().map(|(line, segments)| Named {
                line,
                segments,
                within: within.clone(),
            }));
            continue;
        }
        at += 1;
    }
    found
}

/// Spells out the path that starts at `at`, after what has been read of it; returns where it ends.
fn spell(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut segments = before.to_vec();
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token| token.text.as_str());
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        if text(at) == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                let between = matches!(text(at), "," | "::");
                at = if between { at + 1 } else { spell(tokens, at, &segments, found) };
            }
            return at + 1;
        }
        segments.push(text(at).to_string());
        at += 1;
        let goes_on = text(at) == "::" && (identifier(text(at + 1)) || matches!(text(at + 1), "{" | "*"));
        if !goes_on {
            break;
        }
        at += 1;
    }
    found.push((line, segments));
    // `as name` within a group is not the next path.
    if text(at) == "as" && !before.is_empty() { at + 2 } else { at }
}

fn identifier(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
}
