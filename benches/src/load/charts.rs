//! The charts of the report, as SVG.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// Draws into the string until it is dropped.
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 460;
const BAR_HEIGHT: u32 = 26;
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 9] = [
    RGBColor(21, 101, 192),
    RGBColor(179, 38, 30),
    RGBColor(27, 127, 77),
    RGBColor(224, 123, 57),
    RGBColor(106, 76, 147),
    RGBColor(138, 177, 125),
    RGBColor(91, 91, 91),
    RGBColor(214, 174, 60),
    RGBColor(190, 190, 190),
];

/// A line of a chart.
pub struct Line {
    pub name: String,
    /// Across, and up.
    pub points: Vec<(f64, f64)>,
}

/// Draws lines; across are powers of two or of ten, at which there are marks.
///
/// # Panics
///
/// When there is nothing to draw: the report asks for charts of what was measured.
pub fn lines(title: &str, across: &str, up: &str, marks: &[f64], lines: &[Line]) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        let most = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
        // Places on the axis are numbered, so that each mark is as far from the next.
        let place = |value: f64| {
            let after = marks.partition_point(|mark| *mark <= value).clamp(1, marks.len() - 1);
            let (from, to) = (marks[after - 1], marks[after]);
            (after - 1) as f64 + (value / from).ln() / (to / from).ln()
        };
        drawn(draw_lines(&area, title, (across, up), marks, most, lines, place));
        drawn(area.present());
    }
    svg
}

fn drawn<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.expect("a string takes every drawing")
}

fn draw_lines(
    area: &Area,
    title: &str,
    (across, up): (&str, &str),
    marks: &[f64],
    most: f64,
    lines: &[Line],
    place: impl Fn(f64) -> f64,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    area.fill(&WHITE)?;
    let last = marks.len() - 1;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 16))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..last as f64, 0.0..most * 1.1)?;
    chart
        .configure_mesh()
        .x_labels(marks.len())
        .x_label_formatter(&|at: &f64| marks.get(at.round() as usize).map_or(String::new(), |mark| short(*mark)))
        .y_label_formatter(&|value: &f64| short(*value))
        .x_desc(across)
        .y_desc(up)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (at, line) in lines.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points: Vec<(f64, f64)> = line.points.iter().map(|&(x, y)| (place(x), y)).collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 14, y + 2)], colour.filled()));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

/// A bar of a chart.
pub struct Bar {
    pub name: String,
    /// One for each part's name.
    pub parts: Vec<f64>,
}

/// Draws bars of parts, one below the other.
///
/// # Panics
///
/// As [`lines`].
pub fn bars(title: &str, unit: &str, parts: &[&str], bars: &[Bar]) -> String {
    let mut svg = String::new();
    {
        let height = 110 + 18 * (parts.len() as u32).div_ceil(5) + BAR_HEIGHT * bars.len() as u32;
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        drawn(draw_bars(&area, title, unit, parts, bars));
        drawn(area.present());
    }
    svg
}

fn draw_bars(
    area: &Area,
    title: &str,
    unit: &str,
    parts: &[&str],
    bars: &[Bar],
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    area.fill(&WHITE)?;
    let legend_height = 34 + 18 * parts.len().div_ceil(5) as i32;
    area.draw(&Text::new(title.to_string(), (14, 10), (FONT, 16).into_font()))?;
    for (at, part) in parts.iter().enumerate() {
        let (x, y) = (20 + 172 * (at as i32 % 5), 36 + 18 * (at as i32 / 5));
        area.draw(&Rectangle::new([(x, y), (x + 12, y + 10)], COLOURS[at % COLOURS.len()].filled()))?;
        area.draw(&Text::new(part.to_string(), (x + 18, y - 1), (FONT, 12).into_font()))?;
    }
    let (_, below) = area.split_vertically(legend_height);
    let most = bars.iter().map(|bar| bar.parts.iter().sum::<f64>()).fold(0.0, f64::max);
    let count = bars.len() as f64;
    let mut chart = ChartBuilder::on(&below)
        .margin(8)
        .margin_right(28)
        .x_label_area_size(40)
        .y_label_area_size(250)
        .build_cartesian_2d(0.0..most * 1.05, 0.0..count)?;
    chart
        .configure_mesh()
        .disable_y_axis()
        .disable_y_mesh()
        .x_label_formatter(&|value: &f64| short(*value))
        .x_desc(unit)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (at, bar) in bars.iter().enumerate() {
        let top = count - at as f64;
        let mut from = 0.0;
        for (part, value) in bar.parts.iter().enumerate() {
            let corners = [(from, top - 0.15), (from + value, top - 0.85)];
            chart.draw_series([Rectangle::new(corners, COLOURS[part % COLOURS.len()].filled())])?;
            from += value;
        }
        name_bar(&below, &chart, &bar.name, top - 0.5)?;
    }
    Ok(())
}

fn name_bar(
    area: &Area,
    chart: &ChartContext<SVGBackend, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    name: &str,
    middle: f64,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let (x, y) = chart.backend_coord(&(0.0, middle));
    let (left, top) = area.get_base_pixel();
    area.draw(&Text::new(name.to_string(), (10, y - top - 7), (FONT, 12).into_font()))?;
    let _ = (x, left);
    Ok(())
}

/// Writes a number shortly.
fn short(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{} M", value / 1e6),
        _ if value >= 1e3 => format!("{} k", value / 1e3),
        _ => format!("{value}"),
    }
}
