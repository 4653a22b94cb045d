//! Colormaps from [0, 1] to RGB.

use std::str::FromStr;

use crate::Error;

/// A colormap of 256 colors. `colormaps/README.md` lists the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Colormap {
    /// Blue, green, red: OpenCV's `COLORMAP_JET`, as in the article.
    #[default]
    Jet,
    /// Purple, green, yellow; perceptually uniform, also under color vision deficiency.
    Viridis,
    /// Like jet, but smoother.
    Turbo,
    /// Black, red, yellow.
    Inferno,
    /// Black, purple, cream.
    Magma,
    /// Blue to yellow; optimized for color vision deficiency.
    Cividis,
    /// Black to white.
    Gray,
    /// Blue, white, red: diverging, for signed maps centered at 0.
    RdBuR,
}

impl Colormap {
    /// All colormaps.
    pub const ALL: [Colormap; 8] = [
        Colormap::Jet,
        Colormap::Viridis,
        Colormap::Turbo,
        Colormap::Inferno,
        Colormap::Magma,
        Colormap::Cividis,
        Colormap::Gray,
        Colormap::RdBuR,
    ];

    /// Name on the command line: matplotlib's in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Colormap::Jet => "jet",
            Colormap::Viridis => "viridis",
            Colormap::Turbo => "turbo",
            Colormap::Inferno => "inferno",
            Colormap::Magma => "magma",
            Colormap::Cividis => "cividis",
            Colormap::Gray => "grey",
            Colormap::RdBuR => "rdbu_r",
        }
    }

    /// The colors from 0 to 1.
    pub fn table(self) -> &'static [[u8; 3]; 256] {
        match self {
            Colormap::Jet => table(include_bytes!("colormaps/jet.rgb")),
            Colormap::Viridis => table(include_bytes!("colormaps/viridis.rgb")),
            Colormap::Turbo => table(include_bytes!("colormaps/turbo.rgb")),
            Colormap::Inferno => table(include_bytes!("colormaps/inferno.rgb")),
            Colormap::Magma => table(include_bytes!("colormaps/magma.rgb")),
            Colormap::Cividis => table(include_bytes!("colormaps/cividis.rgb")),
            Colormap::Gray => &GRAY,
            Colormap::RdBuR => table(include_bytes!("colormaps/rdbu_r.rgb")),
        }
    }
}

/// Table index of `v` in [0, 1]: `255 v` rounded down, as in the article's code.
pub fn index(v: f32) -> usize {
    // `max` turns NaN into 0, which `clamp` would not.
    let positive = (v * 255.0).max(0.0);
    let scaled = if positive < 255.0 { positive } else { 255.0 };
    // SAFETY: a number from 0 to 255. A conversion that checks this is not done in vectors.
    usize::from(unsafe { scaled.to_int_unchecked::<i32>() } as u8)
}

/// A colormap file as a table.
pub(super) fn table(bytes: &'static [u8; 768]) -> &'static [[u8; 3]; 256] {
    bytes.as_chunks::<3>().0.try_into().expect("768 bytes are 256 colors")
}

const GRAY: [[u8; 3]; 256] = {
    let mut table = [[0; 3]; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = [i as u8; 3];
        i += 1;
    }
    table
};

impl std::fmt::Display for Colormap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Colormap {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        // The US spelling is an alias.
        let name = if name == "gray" { "grey" } else { name };
        Colormap::ALL.into_iter().find(|map| map.name() == name).ok_or_else(|| {
            let known = Colormap::ALL.map(Colormap::name).join(", ");
            Error::usage(format!("unknown colormap '{name}'; expected one of {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenCV's jet is piecewise linear: each channel rises, stays at its maximum for a quarter, and falls.
    #[test]
    fn jet_is_piecewise_linear_like_opencv() {
        for (i, &[r, g, b]) in Colormap::Jet.table().iter().enumerate() {
            let line = |center: i32| (382 - (4 * i as i32 - center).abs()).clamp(0, 255);
            for (name, value, expected) in
                [("red", r, line(766)), ("green", g, line(510)), ("blue", b, line(254))]
            {
                assert!((i32::from(value) - expected).abs() <= 4, "{name} {i}: {value}, line {expected}");
            }
        }
    }

    #[test]
    fn tables_hold_the_published_colors() {
        let ends = |map: Colormap| (map.table()[0], map.table()[255]);
        assert_eq!(ends(Colormap::Jet), ([0, 0, 128], [128, 0, 0]));
        assert_eq!(ends(Colormap::Viridis), ([0x44, 0x01, 0x54], [0xfd, 0xe7, 0x24]));
        assert_eq!(ends(Colormap::Gray), ([0; 3], [255; 3]));
        assert_eq!(Colormap::Jet.table()[128], [130, 255, 126]);
    }

    #[test]
    fn names_round_trip_and_unknown_ones_are_refused() {
        for map in Colormap::ALL {
            assert_eq!(map.to_string().parse(), Ok(map));
        }
        assert_eq!("gray".parse(), Ok(Colormap::Gray));
        let error = "rainbow".parse::<Colormap>().unwrap_err().to_string();
        assert!(error.starts_with("unknown colormap 'rainbow'; expected one of jet, viridis"), "{error}");
    }

    #[test]
    fn an_index_rounds_down_and_is_clamped() {
        assert_eq!([-1.0, 0.0, 0.003, 0.5, 1.0, 2.0, f32::NAN].map(index), [0, 0, 0, 127, 255, 255, 0]);
    }
}
