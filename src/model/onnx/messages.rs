//! The messages of an ONNX file (`onnx.proto3`, IR versions 3 to 13), as far as classifiers use them.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use super::protobuf::Message;
use super::tensor::{StoredTensor, Tensor};

/// Most nodes of a graph. The largest networks of images have a few thousand.
const MAX_NODES: usize = 50_000;
/// Most entries of all other lists of a file: names, attributes, dimensions, metadata.
const MAX_ENTRIES: usize = 2_000_000;

/// A file.
#[derive(Debug, Default)]
pub struct ModelProto {
    /// Version of the operators of each domain; "" is ONNX's own.
    pub opsets: Vec<(String, i64)>,
    /// Name and version of the program that wrote it.
    pub producer: String,
    pub graph: Option<GraphProto>,
    /// Further entries, by their keys.
    pub metadata: HashMap<String, String>,
    /// Whether it defines operators itself.
    pub has_functions: bool,
    /// Entries read so far, of [`MAX_ENTRIES`].
    entries: usize,
}

#[derive(Debug, Default)]
pub struct GraphProto {
    pub nodes: Vec<NodeProto>,
    /// Constant tensors, by their names.
    pub initializers: HashMap<String, StoredTensor>,
    pub inputs: Vec<ValueInfo>,
    pub outputs: Vec<ValueInfo>,
}

#[derive(Debug, Default)]
pub struct NodeProto {
    pub name: String,
    pub op: String,
    pub domain: String,
    /// Names of values; "" for an optional one that is not given.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: HashMap<String, Attribute>,
    /// Values of the graph around it that its own graphs read.
    pub captured: Vec<String>,
}

/// The value of an attribute.
#[derive(Debug)]
pub enum Attribute {
    Float(f32),
    Int(i64),
    Text(String),
    Tensor(Box<StoredTensor>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    /// A graph, but of a node of the file's own graph only.
    Graph(Box<GraphProto>),
    /// A kind that no operator here has.
    Other,
}

/// A value's name and type.
#[derive(Debug, Default)]
pub struct ValueInfo {
    pub name: String,
    pub kind: ValueKind,
}

/// A value's type.
#[derive(Debug, Default)]
pub enum ValueKind {
    /// A tensor of elements of type `element`; a dimension is `None` where it is not fixed, and `dims` where nothing is
    /// said of them.
    Tensor { element: i64, dims: Option<Vec<Option<usize>>> },
    /// A sequence, a map, a sparse tensor or an optional value.
    #[default]
    Other,
}

impl ModelProto {
    /// Reads the fields of a file.
    ///
    /// # Errors
    /// What is damaged, and where.
    pub fn read<R: Read>(mut message: Message<'_, R>) -> Result<ModelProto, String> {
        let mut model = ModelProto::default();
        while let Some(field) = message.field()? {
            match field.number {
                2 | 3 => {
                    let text = field.text()?;
                    let space = if model.producer.is_empty() || text.is_empty() { "" } else { " " };
                    model.producer += space;
                    model.producer += &text;
                }
                7 => {
                    if model.graph.is_some() {
                        return Err("damaged: it has two graphs".into());
                    }
                    let entries = &mut model.entries;
                    model.graph = Some(field.message(|graph| GraphProto::read(graph, entries, true))?);
                }
                8 => {
                    let (domain, version) = field.message(|mut entry| {
                        let (mut domain, mut version) = (String::new(), 0);
                        while let Some(field) = entry.field()? {
                            match field.number {
                                1 => domain = field.text()?,
                                2 => version = field.integer()?,
                                _ => field.skip()?,
                            }
                        }
                        Ok((domain, version))
                    })?;
                    count(&mut model.entries)?;
                    // "ai.onnx" is another name of the default domain.
                    model.opsets.push((if domain == "ai.onnx" { String::new() } else { domain }, version));
                }
                14 => {
                    count(&mut model.entries)?;
                    let (key, value) = field.entry()?;
                    model.metadata.insert(key, value);
                }
                25 => {
                    model.has_functions = true;
                    field.skip()?;
                }
                _ => field.skip()?,
            }
        }
        Ok(model)
    }
}

impl ModelProto {
    /// Version of ONNX's own operators, if it is named.
    pub fn opset(&self) -> Option<i64> {
        self.opsets.iter().find(|(domain, _)| domain.is_empty()).map(|&(_, version)| version)
    }
}

/// Counts an entry.
fn count(entries: &mut usize) -> Result<(), String> {
    *entries += 1;
    if *entries > MAX_ENTRIES { Err(format!("more than {MAX_ENTRIES} entries")) } else { Ok(()) }
}

impl GraphProto {
    /// Reads the fields of a graph, whose nodes may have graphs of their own if it `is_outer`.
    fn read<R: Read>(
        mut message: Message<'_, R>,
        entries: &mut usize,
        is_outer: bool,
    ) -> Result<GraphProto, String> {
        let mut graph = GraphProto::default();
        while let Some(field) = message.field()? {
            match field.number {
                1 => {
                    if graph.nodes.len() == MAX_NODES {
                        return Err(format!("more than {MAX_NODES} nodes"));
                    }
                    graph.nodes.push(field.message(|node| NodeProto::read(node, entries, is_outer))?);
                }
                5 => {
                    count(entries)?;
                    let (name, tensor) = field.message(StoredTensor::read)?;
                    if graph.initializers.insert(name.clone(), tensor).is_some() {
                        return Err(format!("tensor '{name}' is there twice"));
                    }
                }
                11 => {
                    count(entries)?;
                    graph.inputs.push(field.message(|info| ValueInfo::read(info, entries))?);
                }
                12 => {
                    count(entries)?;
                    graph.outputs.push(field.message(|info| ValueInfo::read(info, entries))?);
                }
                15 => return Err("sparse tensors are not supported".into()),
                _ => field.skip()?,
            }
        }
        Ok(graph)
    }

    /// The values that its nodes read or it returns, and that are none of its own.
    fn captured(&self) -> impl Iterator<Item = &String> {
        let given = self.inputs.iter().map(|input| &input.name).chain(self.initializers.keys());
        let made: HashSet<&String> = self.nodes.iter().flat_map(|node| &node.outputs).chain(given).collect();
        let read = self.nodes.iter().flat_map(|node| &node.inputs);
        let read = read.chain(self.outputs.iter().map(|output| &output.name));
        read.filter(move |name| !name.is_empty() && !made.contains(name))
    }
}

impl NodeProto {
    fn read<R: Read>(
        mut message: Message<'_, R>,
        entries: &mut usize,
        has_graphs: bool,
    ) -> Result<NodeProto, String> {
        let mut node = NodeProto::default();
        while let Some(field) = message.field()? {
            match field.number {
                1 => {
                    count(entries)?;
                    node.inputs.push(field.text()?);
                }
                2 => {
                    count(entries)?;
                    node.outputs.push(field.text()?);
                }
                3 => node.name = field.text()?,
                4 => node.op = field.text()?,
                5 => {
                    count(entries)?;
                    let (name, value) = field.message(|it| attribute(it, entries, has_graphs))?;
                    if let Attribute::Graph(graph) = &value {
                        node.captured.extend(graph.captured().cloned());
                    }
                    node.attributes.insert(name, value);
                }
                7 => node.domain = field.text()?,
                _ => field.skip()?,
            }
        }
        if node.domain == "ai.onnx" {
            node.domain.clear();
        }
        Ok(node)
    }
}

/// An attribute's name and value, which may be a graph if that `has_graphs`.
fn attribute<R: Read>(
    mut message: Message<'_, R>,
    entries: &mut usize,
    has_graphs: bool,
) -> Result<(String, Attribute), String> {
    let (mut name, mut value) = (String::new(), None);
    let (mut floats, mut ints, mut kind) = (Vec::new(), Vec::new(), 0);
    while let Some(field) = message.field()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = Some(Attribute::Float(field.float()?)),
            3 => value = Some(Attribute::Int(field.integer()?)),
            4 => {
                let text = field.bytes()?;
                value = Some(String::from_utf8(text).map_or(Attribute::Other, Attribute::Text));
            }
            5 => value = Some(Attribute::Tensor(Box::new(field.message(StoredTensor::read)?.1))),
            6 if has_graphs => {
                count(entries)?;
                let graph = field.message(|graph| GraphProto::read(graph, entries, false))?;
                value = Some(Attribute::Graph(Box::new(graph)));
            }
            7 => field.numbers(&mut floats, f32::from_le_bytes)?,
            8 => field.integers(&mut ints)?,
            20 => kind = field.integer()?,
            _ => field.skip()?,
        }
    }
    // Old writers leave the kind out; a list without elements has no other trace.
    let value = match kind {
        6 => Attribute::Floats(floats),
        7 => Attribute::Ints(ints),
        _ if !ints.is_empty() => Attribute::Ints(ints),
        _ if !floats.is_empty() => Attribute::Floats(floats),
        // A zero is not written.
        1 => value.unwrap_or(Attribute::Float(0.0)),
        2 => value.unwrap_or(Attribute::Int(0)),
        3 => value.unwrap_or(Attribute::Text(String::new())),
        _ => value.unwrap_or(Attribute::Other),
    };
    Ok((name, value))
}

impl ValueInfo {
    fn read<R: Read>(mut message: Message<'_, R>, entries: &mut usize) -> Result<ValueInfo, String> {
        let mut info = ValueInfo::default();
        while let Some(field) = message.field()? {
            match field.number {
                1 => info.name = field.text()?,
                2 => info.kind = field.message(|kind| ValueKind::read(kind, entries))?,
                _ => field.skip()?,
            }
        }
        Ok(info)
    }
}

impl ValueKind {
    fn read<R: Read>(mut message: Message<'_, R>, entries: &mut usize) -> Result<ValueKind, String> {
        let mut kind = ValueKind::Other;
        while let Some(field) = message.field()? {
            if field.number != 1 {
                field.skip()?;
                continue;
            }
            kind = field.message(|mut tensor| {
                let (mut element, mut dims) = (0, None);
                while let Some(field) = tensor.field()? {
                    match field.number {
                        1 => element = field.integer()?,
                        2 => dims = Some(field.message(|shape| dimensions(shape, entries))?),
                        _ => field.skip()?,
                    }
                }
                Ok(ValueKind::Tensor { element, dims })
            })?;
        }
        Ok(kind)
    }
}

/// The dimensions of a tensor's shape; one that is named or not said is not fixed.
fn dimensions<R: Read>(mut shape: Message<'_, R>, entries: &mut usize) -> Result<Vec<Option<usize>>, String> {
    let mut dims = Vec::new();
    while let Some(field) = shape.field()? {
        if field.number != 1 {
            field.skip()?;
            continue;
        }
        count(entries)?;
        dims.push(field.message(|mut dim| {
            let mut size = None;
            while let Some(field) = dim.field()? {
                match field.number {
                    // Old exporters write -1 for a size that is not fixed.
                    1 => size = usize::try_from(field.integer()?).ok(),
                    _ => field.skip()?,
                }
            }
            Ok(size)
        })?);
    }
    Ok(dims)
}

impl NodeProto {
    /// Its name, that of its first result, or its number, of which `index` is the one from 0.
    pub fn label(&self, index: usize) -> String {
        let names = [&self.name].into_iter().chain(self.outputs.first());
        names
            .into_iter()
            .find(|name| !name.is_empty())
            .cloned()
            .unwrap_or_else(|| format!("number {}", index + 1))
    }

    /// The integer attribute `name`, or its default.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(format!("attribute '{name}' is no integer")),
        }
    }

    /// The number `name`, or its default.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(_) => Err(format!("attribute '{name}' is no floating-point number")),
        }
    }

    /// The text `name`, or its default.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, String> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Text(value)) => Ok(value),
            Some(_) => Err(format!("attribute '{name}' is no text")),
        }
    }

    /// The list of integers `name`, if it is given.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn ints(&self, name: &str) -> Result<Option<&[i64]>, String> {
        match self.attributes.get(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(_) => Err(format!("attribute '{name}' is no list of integers")),
        }
    }

    /// The list of numbers `name`, empty if it is not given.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, String> {
        match self.attributes.get(name) {
            None => Ok(Vec::new()),
            Some(Attribute::Floats(values)) => Ok(values.clone()),
            Some(_) => Err(format!("attribute '{name}' is no list of floating-point numbers")),
        }
    }

    /// The tensor of a `Constant`.
    ///
    /// # Errors
    /// When it has none that is supported.
    pub fn constant(&self) -> Result<Tensor, String> {
        let mut values = self.attributes.iter().filter(|(name, _)| name.starts_with("value"));
        match (values.next(), values.next()) {
            (Some((_, Attribute::Tensor(tensor))), None) => tensor.tensor(),
            (Some((_, Attribute::Float(value))), None) => Ok(Tensor::floats(&[], [*value])),
            (Some((_, Attribute::Floats(values))), None) => {
                Ok(Tensor::floats(&[values.len()], values.iter().copied()))
            }
            (Some((_, Attribute::Int(value))), None) => Ok(Tensor::integers(&[], vec![*value])),
            (Some((_, Attribute::Ints(values))), None) => {
                Ok(Tensor::integers(&[values.len()], values.clone()))
            }
            (Some((first, _)), Some((second, _))) => Err(format!("two values, '{first}' and '{second}'")),
            _ => Err("a constant of a kind that is not supported".into()),
        }
    }
}
