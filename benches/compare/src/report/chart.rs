use anyhow::Context;
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::table::multiple;
use super::{Ratio, Report, ScenarioReport};
use crate::metric::Metric;
use crate::servers::Kind;

/// In pixels, as all lengths here.
const WIDTH: u32 = 1000;
const MARGIN: u32 = 16;
const HEAD: u32 = 78;
const MOST_COLUMNS: usize = 2;
const BAR: u32 = 18;
/// Around a panel's bars: its title, its scale, and what keeps it from the next one.
const PANEL_EXTRA: u32 = 62;
const NAMES: u32 = 132;

/// A bar beyond it is cut off, or one slow server would leave the others no length to tell them apart by.
const LONGEST_BAR: f64 = 3.0;

const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT_INK: RGBColor = RGBColor(96, 96, 96);
const GRID: RGBColor = RGBColor(226, 226, 226);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Processor time an exchange as a multiple of the first server's: a panel a scenario, a bar a server.
///
/// # Errors
/// Where nothing of the kind has been measured.
pub fn svg(report: &Report) -> anyhow::Result<String> {
    let mut panels = report.scenarios.iter().filter_map(Panel::of).peekable();
    let reference = panels.peek().context("there is no processor time of several servers to draw")?.reference;
    let panels: Vec<Panel<'_>> = panels.filter(|panel| panel.reference == reference).collect();

    let columns = panels.len().min(MOST_COLUMNS);
    let rows: Vec<&[Panel<'_>]> = panels.chunks(columns).collect();
    let heights: Vec<u32> = rows.iter().map(|row| row.iter().map(Panel::height).max().unwrap_or(0)).collect();
    let size = (WIDTH, HEAD + heights.iter().sum::<u32>() + MARGIN);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw_head(&area, report, reference)?;
        let end = end_of_scale(&panels);
        let width = (WIDTH - 2 * MARGIN) / columns as u32;
        let mut top = HEAD;
        for (row, height) in rows.iter().zip(heights) {
            for (panel, left) in row.iter().zip((MARGIN..).step_by(width as usize)) {
                panel.draw(&area.clone().shrink((left, top), (width, panel.height())), end)?;
            }
            top += height;
        }
        area.present()?;
    }
    Ok(text)
}

fn draw_head(area: &Area<'_>, report: &Report, reference: Kind) -> anyhow::Result<()> {
    let machine = &report.machine;
    // What a distribution or a cloud adds to the version says nothing to others.
    let kernel = machine.kernel.split('-').next().unwrap_or_default();
    let rounds = match report.rounds {
        1 => format!("one round of {} s", report.window_seconds),
        rounds => format!(
            "medians of {rounds} rounds of {} s, the lines from the lowest to the highest",
            report.window_seconds
        ),
    };
    let reference = match reference {
        Kind::Epoll => "a hand-written epoll loop",
        other => other.name(),
    };
    let lines = [
        (format!("Processor time an exchange, as a multiple of {reference}'s"), font(19, true, &INK)),
        (
            format!("{}, {} processors, Linux {kernel}: {rounds}", machine.processor, machine.processors),
            font(13, false, &FAINT_INK),
        ),
        ("Shorter is better; this crate's servers in bold".to_owned(), font(13, false, &FAINT_INK)),
    ];
    for ((line, style), top) in lines.into_iter().zip([14, 38, 56]) {
        area.draw(&Text::new(line, (MARGIN as i32, top), style))?;
    }
    Ok(())
}

/// What one scenario has to show.
struct Panel<'a> {
    title: &'a str,
    reference: Kind,
    bars: Vec<(Kind, Ratio)>,
}

impl Panel<'_> {
    fn of(scenario: &ScenarioReport) -> Option<Panel<'_>> {
        let bar = |row: &super::Row| Some((row.peer, *row.ratio.get(&Metric::ProcessorUs)?));
        let bars: Vec<_> = scenario.rows.iter().filter_map(bar).collect();
        let reference = scenario.reference.filter(|_| !bars.is_empty())?;
        Some(Panel { title: &scenario.title, reference, bars })
    }

    fn height(&self) -> u32 {
        self.bars.len() as u32 * BAR + PANEL_EXTRA
    }

    fn draw(&self, area: &Area<'_>, end: f64) -> anyhow::Result<()> {
        area.draw(&Text::new(self.title, (4, 8), font(14, true, &INK)))?;
        // Room for the figure behind the longest bar.
        let scale = 0.0..end * 1.13;
        let mut chart = ChartBuilder::on(area)
            .margin_top(30)
            .margin_right(8)
            .margin_bottom(12)
            .set_label_area_size(LabelAreaPosition::Left, NAMES)
            .set_label_area_size(LabelAreaPosition::Bottom, 20)
            .build_cartesian_2d(scale.clone(), 0.0..self.bars.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels((end / 0.5) as usize + 1)
            .x_max_light_lines(1)
            .x_label_formatter(&|multiple| format!("{multiple}"))
            .label_style(font(11, false, &FAINT_INK))
            .bold_line_style(GRID)
            .axis_style(GRID)
            .draw()?;
        for (place, &(kind, ratio)) in self.bars.iter().enumerate() {
            // From the top down, as in the table.
            let middle = (self.bars.len() - place) as f64 - 0.5;
            let is_cut = ratio.median > end;
            let length = if is_cut { scale.end } else { ratio.median };
            let bar = Rectangle::new([(0.0, middle - 0.37), (length, middle + 0.37)], colour(kind).filled());
            chart.draw_series([bar])?;
            let name = Text::new(kind.name(), (-6, 0), right(font(12, kind.is_own(), &INK)));
            chart.draw_series([EmptyElement::at((0.0, middle)) + name])?;
            if is_cut {
                let gap = PathElement::new([(-4, 8), (4, -8)], WHITE.stroke_width(4));
                chart.draw_series([EmptyElement::at((end * 0.9, middle)) + gap])?;
                let figure = Text::new(multiple(ratio.median), (-5, 0), right(font(12, false, ink_on(colour(kind)))));
                chart.draw_series([EmptyElement::at((scale.end, middle)) + figure])?;
                continue;
            }
            // Cut off as a bar is, to leave the figure its room.
            let highest = ratio.highest.min(end);
            if ratio.lowest < highest {
                chart.draw_series([PathElement::new([(ratio.lowest, middle), (highest, middle)], INK)])?;
            }
            let figure = Text::new(multiple(ratio.median), (5, 0), left(font(12, false, &INK)));
            chart.draw_series([EmptyElement::at((highest.max(length), middle)) + figure])?;
        }
        // Over the bars, so that what goes beyond it is seen in each.
        chart.draw_series([PathElement::new([(1.0, 0.0), (1.0, self.bars.len() as f64)], FAINT_INK)])?;
        Ok(())
    }
}

/// The same for all panels: the next half over the longest bar that is not cut off.
fn end_of_scale(panels: &[Panel<'_>]) -> f64 {
    let bars = panels.iter().flat_map(|panel| &panel.bars).map(|(_, ratio)| ratio.median);
    let longest = bars.filter(|&bar| bar <= LONGEST_BAR).fold(1.0, f64::max);
    (longest * 2.0).ceil() / 2.0
}

fn font(pixels: u32, is_bold: bool, colour: &'static RGBColor) -> TextStyle<'static> {
    // The backend takes the size for that of a line, which it holds to be 1.24 times that of the font.
    let size = f64::from(pixels) * 1.24;
    let style = if is_bold { FontStyle::Bold } else { FontStyle::Normal };
    TextStyle::from(("sans-serif", size, style)).color(colour)
}

fn left(style: TextStyle<'_>) -> TextStyle<'_> {
    style.pos(Pos::new(HPos::Left, VPos::Center))
}

fn right(style: TextStyle<'_>) -> TextStyle<'_> {
    style.pos(Pos::new(HPos::Right, VPos::Center))
}

/// For what is written on a bar.
fn ink_on(RGBColor(red, green, blue): RGBColor) -> &'static RGBColor {
    // How bright the eye finds it.
    let brightness = (u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114) / 1000;
    if brightness < 128 {
        &WHITE
    } else {
        &INK
    }
}

/// This crate's servers are blue and green, those of one family alike. Over UDP as what answers to it over TCP.
const fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Epoll | Kind::UdpLoop => RGBColor(77, 77, 77),
        Kind::Mio => RGBColor(148, 103, 189),
        Kind::Tokio | Kind::UdpTokio => RGBColor(242, 142, 43),
        Kind::TokioMulti => RGBColor(255, 190, 125),
        Kind::MessageIo => RGBColor(211, 114, 149),
        Kind::Libuv => RGBColor(156, 117, 95),
        Kind::Go => RGBColor(118, 183, 178),
        Kind::Python => RGBColor(237, 201, 72),
        Kind::StdThreads | Kind::UdpStd => RGBColor(158, 158, 158),
        Kind::StdThreadsTimed => RGBColor(200, 200, 200),
        Kind::Threading | Kind::UdpThreading => RGBColor(46, 110, 190),
        Kind::ThreadingUntimed | Kind::UdpSlow => RGBColor(125, 174, 230),
        Kind::Sequential | Kind::UdpSequential => RGBColor(31, 60, 120),
        Kind::Reactor | Kind::UdpReactor => RGBColor(34, 139, 74),
        Kind::Coroutine => RGBColor(120, 198, 121),
        Kind::UdpBatch | Kind::UdpForger => RGBColor(92, 108, 196),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::metric::Sample;
    use crate::report::Row;

    fn row(peer: Kind, us: f64) -> Row {
        Row { rounds: vec![Some(Sample::from([(Metric::ProcessorUs, us)]))], ..Row::new(peer) }
    }

    fn report(scenarios: Vec<ScenarioReport>) -> Report {
        Report { machine: Machine::example(), rounds: 1, window_seconds: 2.0, scenarios }
    }

    /// All texts, as the backend writes them: each on a line of its own.
    fn texts(svg: &str) -> Vec<&str> {
        svg.lines().filter(|line| !line.is_empty() && !line.starts_with('<')).collect()
    }

    #[test]
    fn every_server_has_its_name_and_figure() {
        let rows = vec![row(Kind::Epoll, 10.0), row(Kind::Reactor, 11.0), Row::skipped(Kind::Go, "no go".to_owned())];
        let drawn = svg(&report(vec![ScenarioReport::of("echo", "an echo", rows)])).unwrap();
        assert!(drawn.starts_with("<svg ") && drawn.trim_end().ends_with("</svg>"));
        let texts = texts(&drawn);
        for expected in ["an echo", "epoll", "1.00", "reactor", "1.10"] {
            assert!(texts.contains(&expected), "no {expected:?} in {texts:?}");
        }
        assert!(!texts.contains(&"go"));
        assert!(texts.contains(&"An &lt;old&gt; one, 2 processors, Linux 6.1.0: one round of 2 s"), "{texts:?}");
    }

    #[test]
    fn a_slow_server_leaves_the_others_their_length() {
        let rows = vec![row(Kind::Epoll, 10.0), row(Kind::Reactor, 11.0), row(Kind::Python, 500.0)];
        let scenario = ScenarioReport::of("", "", rows);
        let panel = Panel::of(&scenario).unwrap();
        assert_eq!(end_of_scale(&[panel]), 1.5);
        assert!(texts(&svg(&report(vec![scenario])).unwrap()).contains(&"50.0"));
    }

    #[test]
    fn what_is_compared_with_another_server_is_left_out() {
        let tcp = ScenarioReport::of("", "over TCP", vec![row(Kind::Epoll, 10.0), row(Kind::Mio, 11.0)]);
        let udp = ScenarioReport::of("", "over UDP", vec![row(Kind::UdpLoop, 10.0), row(Kind::UdpStd, 11.0)]);
        let drawn = svg(&report(vec![tcp, udp])).unwrap();
        assert!(texts(&drawn).contains(&"over TCP") && !texts(&drawn).contains(&"over UDP"));
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let alone = ScenarioReport::of("", "", vec![row(Kind::Epoll, 10.0)]);
        assert!(svg(&report(vec![alone])).is_err());
    }
}
