//! Arguments of `msdcam faithfulness`.

use std::path::PathBuf;

use crate::explain::{ExplainRequest, Method, Score, Target};
use crate::{Error, Result};

use super::objects::ObjectArgs;
use super::settings::SettingArgs;
use crate::cli::data::DataArgs;
use crate::cli::exits::ExitArgs;
use crate::cli::model::{LoadedModel, ModelArgs};
use crate::cli::values::method_name;

/// Measure the faithfulness of heatmaps: does the model rely on what they show?
///
/// For each method and exit: average drop, increase and gain; complexity, coherency and ADCC;
/// insertion and deletion curves; ROAD; and agreement with the last exit's maps. A map that is
/// empty, constant or not finite is not measured: its image is counted and left out of that row. An
/// image that cannot be used does not stop the others; the exit code is then 3.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub data: DataArgs,
    /// Output folder for faithfulness.csv, curves.csv, road.csv, randomisation.csv, charts and
    /// faithfulness.json, which is written last
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub exits: ExitArgs,
    /// Methods, separated by commas: those of `msdcam explain`
    #[arg(
        long = "method",
        value_name = "LIST",
        default_value = "grad-cam",
        value_delimiter = ',',
        value_parser = method_name(),
        hide_possible_values = true
    )]
    pub methods: Vec<Method>,
    /// Class to explain, whose probability is measured: predicted (by each exit), final (predicted
    /// by the last exit), label (of the image), or a class by name or index
    #[arg(
        long,
        value_name = "predicted|final|label|NAME|INDEX",
        default_value = "predicted",
        allow_hyphen_values = true
    )]
    pub class: String,
    /// Also run the cascading randomization check on the first N images [default: 50]: reinitialize
    /// the weights of the exit's head, then one block after another; a map that stays similar does
    /// not depend on what the model learned
    #[arg(
        long,
        visible_alias = "randomise",
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = "50",
        value_parser = clap::value_parser!(u16).range(1..=4096)
    )]
    pub randomize: Option<u16>,
    #[command(flatten)]
    pub settings: SettingArgs,
    #[command(flatten)]
    pub objects: ObjectArgs,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

impl Args {
    /// The request for the methods and exits.
    ///
    /// # Errors
    /// When the model lacks an exit or a class, or a method does not suit it.
    pub fn request(&self, model: &LoadedModel) -> Result<ExplainRequest> {
        let target = Target::parse(&self.class, &model.labels)?;
        if let Target::Top(_) = target {
            let text = format!("class '{}': faithfulness is measured for one class per exit", self.class);
            return Err(Error::usage(text));
        }
        let request = ExplainRequest {
            exits: self.exits.resolve(model.exits.len())?,
            target,
            score: Score::Logit,
            max_memory: self.settings.max_memory,
            ..ExplainRequest::new(&model.model, &self.methods)
        };
        request.check(&model.model)?;
        Ok(request)
    }
}
