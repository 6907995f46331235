//! The chart: instructions of an operation over the number of records, both on logarithmic scales, as SVG.

use std::fmt::Write;

use super::{Figures, Measure, Structure, count};
use crate::store::names;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const VALUE_BYTES: u64 = 100;

const RECORDS: (f64, f64) = (100_000.0, 5_000_000.0);
const INSTRUCTIONS: (f64, f64) = (1_000.0, 200_000.0);

/// Structure, operation and colour of a line.
const LINES: [(Structure, &str, &str); 7] = [
    (Structure::StableBTreeMap, names::PUT_FRESH, "#b3261e"),
    (Structure::StableBTreeMap, names::GET, "#e07b39"),
    (Structure::Store, names::DELETE, "#5b5b5b"),
    (Structure::Store, names::PUT_OTHER, "#6a4c93"),
    (Structure::Store, names::PUT_SAME, "#8ab17d"),
    (Structure::Store, names::PUT_FRESH, "#1b7f4d"),
    (Structure::Store, names::GET, "#1565c0"),
];

/// Draws the chart.
pub fn draw(figures: &Figures) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">Instructions per operation in a batch, values of {VALUE_BYTES} B, by records</text>\n"
    );
    for instructions in [1_000u64, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000] {
        let y = down(instructions as f64);
        line(&mut svg, &format!("{LEFT},{y:.1} {:.1},{y:.1}", WIDTH - RIGHT), "#dddddd", 1);
        text(&mut svg, LEFT - 8.0, y + 4.0, "end", &count(instructions));
    }
    for records in [100_000u64, 200_000, 400_000, 1_000_000, 2_000_000, 5_000_000] {
        let x = across(records as f64);
        line(&mut svg, &format!("{x:.1},{TOP} {x:.1},{:.1}", HEIGHT - BOTTOM), "#dddddd", 1);
        text(&mut svg, x, HEIGHT - BOTTOM + 18.0, "middle", &count(records));
    }
    let mut lowest_label = 0.0;
    for (structure, operation, colour) in LINES {
        let sizes = figures.record_counts(structure, VALUE_BYTES, operation, Measure::Batch);
        let points: Vec<(f64, f64)> = sizes
            .iter()
            .filter_map(|&records| figures.find(structure, VALUE_BYTES, records, operation, Measure::Batch))
            .map(|figure| (across(figure.key.records as f64), down(figure.measured as f64)))
            .collect();
        let Some(&(_, end)) = points.last() else { continue };
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        line(&mut svg, &path.join(" "), colour, 2);
        for (x, y) in &points {
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")
                .expect("a string takes it");
        }
        // Labels stand beside the plot, apart from one another.
        let y = (end + 4.0f64).max(lowest_label + 16.0);
        lowest_label = y;
        let x = WIDTH - RIGHT + 14.0;
        let name = if structure == Structure::Store { "store" } else { "StableBTreeMap" };
        writeln!(svg, "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"3\" fill=\"{colour}\"/>", y - 5.0)
            .expect("a string takes it");
        text(&mut svg, x + 16.0, y, "start", &format!("{name}: {operation}"));
    }
    svg + "</svg>\n"
}

fn across(records: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * (records / RECORDS.0).ln() / (RECORDS.1 / RECORDS.0).ln()
}

fn down(instructions: f64) -> f64 {
    let share = (instructions / INSTRUCTIONS.0).ln() / (INSTRUCTIONS.1 / INSTRUCTIONS.0).ln();
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
}

fn line(svg: &mut String, points: &str, colour: &str, width: u32) {
    writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>")
        .expect("a string takes it");
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
        .expect("a string takes it");
}
