//! What is wrong in a file, and how it is shown.
//!
//! Faults are collected, never thrown: an operator who mends a file at night wants all of them at
//! once. [`Report`] prints each as `lb.toml:41:9: error: …`, the form that editors and terminals
//! make clickable, then the line itself with the place marked, then what to do about it.

use std::{borrow::Cow, fmt, ops::Range};

use super::source::SourceFile;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not say what its author means.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One fault: what, where, and what to do.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The bytes of the file that it speaks of; `None` where the whole file is meant.
    span: Option<Range<usize>>,
}

impl Diagnostic {
    pub(super) fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            help: None,
            span: Some(span),
        }
    }

    pub(super) fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    pub(super) fn whole_file(message: impl Into<String>) -> Self {
        Self {
            span: None,
            ..Self::error(0..0, message)
        }
    }

    /// Where it stands, in bytes.
    pub(super) fn start(&self) -> Option<usize> {
        self.span.as_ref().map(|span| span.start)
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// Every fault of one file, in the file's order. `Display` renders it for a terminal.
#[derive(Clone, Debug)]
pub struct Report {
    source: SourceFile,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    pub(super) fn new(source: SourceFile, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| d.span.as_ref().map_or(0, |span| span.start));
        Self {
            source,
            diagnostics,
        }
    }

    /// The faults, in the file's order.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    }

    fn render(&self, f: &mut fmt::Formatter<'_>, fault: &Diagnostic) -> fmt::Result {
        let name = self.source.name();
        let Some(span) = &fault.span else {
            writeln!(f, "{name}: {}: {}", fault.severity, fault.message)?;
            return render_help(f, "", fault);
        };
        let place = self.source.position(span.start);
        let gutter = " ".repeat(place.line.to_string().len());
        let line = without_keys(self.source.line(place.line));
        let (line, column) = window(&line, place.column);
        writeln!(
            f,
            "{name}:{}:{}: {}: {}",
            place.line, place.column, fault.severity, fault.message
        )?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{} | {line}", place.line)?;
        let lead: String = line.chars().take(column - 1).map(blank).collect();
        let marked = self.source.text().get(span.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default();
        let carets: usize = marked.chars().take(SHOWN).map(|c| blank(c).len()).sum();
        writeln!(f, "{gutter} | {lead}{}", "^".repeat(carets.max(1)))?;
        render_help(f, &gutter, fault)
    }
}

/// `line` with stars for what stands behind the host of a webhook's `url`: chat services have their key there, and what is
/// shown here goes to logs, too.
fn without_keys(line: &str) -> Cow<'_, str> {
    if !line.contains("url") {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = url.find(['"', '\'', ' ']).unwrap_or(url.len());
        let (url, behind) = url.split_at(end);
        let host = url.find(['/', '?']).map_or(url.len(), |slash| slash + 1);
        let (host, key) = url.split_at(host);
        shown.push_str(host);
        shown.extend(key.chars().map(|_| '*'));
        rest = behind;
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// Characters of a line that are shown at most, and how many of them before the fault.
const SHOWN: usize = 160;
const BEFORE: usize = 80;

/// The part of a long line around `column`, and the column within it.
fn window(line: &str, column: usize) -> (String, usize) {
    let skipped = if line.chars().count() > SHOWN {
        column.saturating_sub(BEFORE)
    } else {
        0
    };
    (
        line.chars().skip(skipped).take(SHOWN).collect(),
        column - skipped,
    )
}

fn render_help(f: &mut fmt::Formatter<'_>, gutter: &str, fault: &Diagnostic) -> fmt::Result {
    match &fault.help {
        Some(help) => writeln!(f, "{gutter} = help: {help}"),
        None => Ok(()),
    }
}

/// White space as wide as `c` is on a terminal: a tab stays one, CJK and full-width characters take two cells.
fn blank(c: char) -> &'static str {
    match c {
        '\t' => "\t",
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}' => "  ",
        _ => " ",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.diagnostics.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            self.render(f, fault)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_line_its_place_and_its_help() {
        let source = SourceFile::new("lb.toml", "a = 1\n应 = \"x\" # c\n");
        let fault = Diagnostic::error(12..15, "no such thing").help("try `y`");
        let report = Report::new(source, vec![fault]);
        assert_eq!(
            report.to_string(),
            "lb.toml:2:5: error: no such thing\n  |\n2 | 应 = \"x\" # c\n  |      ^^^\n  = help: try `y`\n"
        );
    }

    #[test]
    fn faults_stand_in_the_order_of_the_file() {
        let source = SourceFile::new("f", "abc\n");
        let report = Report::new(
            source,
            vec![
                Diagnostic::error(2..3, "later"),
                Diagnostic::warning(0..1, "first"),
            ],
        );
        assert_eq!(report.diagnostics()[0].message, "first");
        assert_eq!((report.errors(), report.warnings()), (1, 1));
    }
}
