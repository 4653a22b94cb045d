//! Options of a run's arrays: `--arrays`, `--dtype`.

use std::str::FromStr;

use crate::run::ElementKind;

/// Options of a run's arrays, as given.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Data sets")]
pub struct ArrayArgs {
    /// Arrays of a run beside those of a few bytes an image: all, or any of input, logits, cam, heatmap,
    /// fused, difference and pixels [default: all but heatmap, which is cam resized and scaled; with
    /// --smooth, where it is not, all]
    #[arg(long, value_name = "all|LIST")]
    arrays: Option<Choice>,
    /// Type of the elements of logits and maps in the arrays of a run [default: f32]
    #[arg(long, value_name = "f32|f16")]
    dtype: Option<Dtype>,
}

/// An array of a run that takes more than a few bytes an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayGroup {
    Input,
    Logits,
    Cam,
    Heatmap,
    Fused,
    Difference,
    Pixels,
}

/// Type of floating-point elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Dtype {
    F32,
    F16,
}

/// Arrays of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrays {
    choice: Choice,
    dtype: ElementKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Default,
    All,
    Named(Vec<ArrayGroup>),
}

impl ArrayGroup {
    const ALL: [ArrayGroup; 7] = [
        ArrayGroup::Input,
        ArrayGroup::Logits,
        ArrayGroup::Cam,
        ArrayGroup::Heatmap,
        ArrayGroup::Fused,
        ArrayGroup::Difference,
        ArrayGroup::Pixels,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ArrayGroup::Input => "input",
            ArrayGroup::Logits => "logits",
            ArrayGroup::Cam => "cam",
            ArrayGroup::Heatmap => "heatmap",
            ArrayGroup::Fused => "fused",
            ArrayGroup::Difference => "difference",
            ArrayGroup::Pixels => "pixels",
        }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let group = |name: &str| {
            let known = ArrayGroup::ALL.into_iter().find(|group| group.name() == name.trim());
            known.ok_or_else(|| {
                let names = ArrayGroup::ALL.map(ArrayGroup::name).join(", ");
                format!("invalid array '{name}'; expected all, or some of {names}")
            })
        };
        Ok(match text {
            "all" => Choice::All,
            list => Choice::Named(list.split(',').map(group).collect::<Result<_, _>>()?),
        })
    }
}

impl ArrayArgs {
    /// Name of the first of these options that was given; they do not apply to photos given by name.
    pub fn any(&self) -> Option<&'static str> {
        let given = [("--arrays", self.arrays.is_some()), ("--dtype", self.dtype.is_some())];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// The arrays that are written.
    pub fn resolve(&self) -> Arrays {
        let choice = self.arrays.clone().unwrap_or(Choice::Default);
        let dtype = match self.dtype {
            Some(Dtype::F16) => ElementKind::F16,
            Some(Dtype::F32) | None => ElementKind::F32,
        };
        Arrays { choice, dtype }
    }
}

impl Arrays {
    /// The arrays that are asked for by name.
    pub fn named(&self) -> &[ArrayGroup] {
        match &self.choice {
            Choice::Named(groups) => groups,
            Choice::Default | Choice::All => &[],
        }
    }

    /// Whether arrays of `group` are written; `smoothed` says whether heatmaps are more than their resized maps.
    pub fn wants(&self, group: ArrayGroup, smoothed: bool) -> bool {
        match &self.choice {
            Choice::Default => group != ArrayGroup::Heatmap || smoothed,
            Choice::All => true,
            Choice::Named(groups) => groups.contains(&group),
        }
    }

    /// The name of that type on the command line.
    pub fn dtype_name(&self) -> &'static str {
        if self.dtype == ElementKind::F16 { "f16" } else { "f32" }
    }

    /// Type of the elements of logits and maps.
    pub fn dtype(&self) -> ElementKind {
        self.dtype
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_arrays() {
        let arrays = |text: &str| Ok::<_, String>(Arrays { choice: text.parse()?, dtype: ElementKind::F32 });
        let two = arrays("cam, logits").unwrap();
        assert_eq!(two.named(), [ArrayGroup::Cam, ArrayGroup::Logits]);
        assert!(two.wants(ArrayGroup::Cam, false) && !two.wants(ArrayGroup::Input, true));
        assert!(arrays("all").unwrap().wants(ArrayGroup::Heatmap, false));
        for wrong in ["", "cam,", "maps", "all,cam"] {
            assert!(arrays(wrong).unwrap_err().starts_with("invalid array '"), "{wrong}");
        }
    }
}
