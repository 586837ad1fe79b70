//! `lbd top`: the running lbd live, until `q`.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    event::{Event as Input, KeyCode, KeyEventKind, KeyModifiers, poll, read},
    execute, queue,
    style::{Attribute, Color, Print, ResetColor, SetAttribute, SetForegroundColor},
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode, size,
    },
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    screen::{Line, Order, Tone, View},
    steer::{Running, parse},
    terminal::complain,
};
use crate::{control::Ask, server::Status, telemetry::Event};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// Events that any screen has room for.
const EVENTS: usize = 100;

#[derive(Debug, Deserialize)]
struct Happened {
    events: Vec<Event>,
}

/// What a key asks for.
enum Wish {
    End,
    Sort,
    Look,
}

/// Shows the lbd that serves `file`.
pub(super) fn top(file: &Path, control: Option<PathBuf>) -> ExitCode {
    if !io::stdout().is_terminal() {
        complain("lbd: top needs a terminal; `lbd status --watch` does not");
        return ExitCode::FAILURE;
    }
    let running = Running::new(file, control);
    // Whatever there is to complain of is said on the screen that was there before.
    let first = match running.status() {
        Ok(status) => status,
        Err(code) => return code,
    };
    let shown = Screen::open().and_then(|mut screen| show(&running, first, &mut screen));
    match shown {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("lbd: the terminal: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn show(running: &Running, first: Status, screen: &mut Screen) -> io::Result<ExitCode> {
    let (mut now, mut at) = (first, Instant::now());
    let mut before: Option<(Status, Duration)> = None;
    let mut order = Order::default();
    loop {
        let events = match running.ask(&Ask::Events {
            since: 0,
            limit: EVENTS,
        }) {
            Ok(Some(reply)) => parse::<Happened>(&reply).map(|happened| happened.events),
            Ok(None) | Err(_) => Ok(Vec::new()),
        };
        let events = events.unwrap_or_default();
        let draw = |screen: &mut Screen, order| {
            let view = View {
                now: &now,
                before: before.as_ref().map(|(status, elapsed)| (status, *elapsed)),
                events: &events,
                order,
            };
            screen.draw(&view)
        };
        draw(screen, order)?;
        let until = at + LOOK;
        loop {
            match wish_until(until)? {
                Some(Wish::End) => return Ok(ExitCode::SUCCESS),
                Some(Wish::Sort) => {
                    order = order.next();
                    draw(screen, order)?;
                }
                Some(Wish::Look) | None => break,
            }
        }
        let next = match running.ask(&Ask::Status) {
            Ok(Some(reply)) => parse(&reply),
            Ok(None) | Err(_) => {
                screen.close();
                return Ok(running.complain_of_silence());
            }
        };
        match next {
            Ok(next) => {
                before = Some((std::mem::replace(&mut now, next), at.elapsed()));
                at = Instant::now();
            }
            Err(code) => return Ok(code),
        }
    }
}

/// What is asked for before `until`, if anything is.
fn wish_until(until: Instant) -> io::Result<Option<Wish>> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if !poll(left)? {
            return Ok(None);
        }
        match read()? {
            Input::Key(key) if key.kind != KeyEventKind::Release => {
                let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('c') if is_control => return Ok(Some(Wish::End)),
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(Some(Wish::End)),
                    KeyCode::Char('s') => return Ok(Some(Wish::Sort)),
                    KeyCode::Char(' ') => return Ok(Some(Wish::Look)),
                    _ => {}
                }
            }
            Input::Resize(..) => return Ok(Some(Wish::Look)),
            _ => {}
        }
    }
}

/// The terminal while it is ours; whatever happens, it is given back as it was.
struct Screen {
    is_open: bool,
}

impl Screen {
    fn open() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Self { is_open: true };
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    fn draw(&mut self, view: &View<'_>) -> io::Result<()> {
        let (width, height) = size()?;
        let mut out = io::stdout().lock();
        for (row, line) in (0u16..).zip(view.lines(usize::from(width), usize::from(height))) {
            queue!(out, MoveTo(0, row), Clear(ClearType::CurrentLine))?;
            write_line(&mut out, &line)?;
        }
        queue!(out, Clear(ClearType::FromCursorDown))?;
        out.flush()
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            // There is nobody to tell.
            let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
            let _ = disable_raw_mode();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

fn write_line(out: &mut impl Write, line: &Line) -> io::Result<()> {
    let colour = match line.tone {
        Tone::Plain => None,
        Tone::Heading => {
            queue!(out, SetAttribute(Attribute::Bold))?;
            None
        }
        Tone::Good => Some(Color::Green),
        Tone::Doubtful => Some(Color::Yellow),
        Tone::Bad => Some(Color::Red),
    };
    if let Some(colour) = colour {
        queue!(out, SetForegroundColor(colour))?;
    }
    queue!(
        out,
        Print(&line.text),
        ResetColor,
        SetAttribute(Attribute::Reset)
    )
}
