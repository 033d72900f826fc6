//! libvirt XML in files, in place of an agent: a domain, and what is around it.
//!
//! Assumes paths. Guarantees that each file is read within the limits, `-` once from standard input, and that a refused
//! one is told as `FILE:LINE: reason [code]`.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::discovery::{
    Discovered, Domain, Inactive, Inventory, Limits, Network, Place, Pool, Volume, parse_domain, parse_network,
    parse_pool, parse_volume,
};

/// What is around a VM, in files.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Surroundings {
    /// XML of a libvirt network the VM is on (`virsh net-dumpxml`); may be given again
    #[arg(long = "network", value_name = "FILE", help_heading = "From files, without an agent")]
    networks: Vec<PathBuf>,
    /// XML of a storage pool (`virsh pool-dumpxml`); may be given again
    #[arg(long = "pool", value_name = "FILE", help_heading = "From files, without an agent")]
    pools: Vec<PathBuf>,
    /// XML of a volume (`virsh vol-dumpxml`), with the name of its pool where no pool's folder tells; may be given again
    #[arg(long = "volume", value_name = "[POOL=]FILE", value_parser = parse_volume_file,
          help_heading = "From files, without an agent")]
    volumes: Vec<VolumeFile>,
}

/// A volume's file, and the pool that it is said to be in: its XML names none.
#[derive(Debug, Clone)]
struct VolumeFile {
    pool: Option<String>,
    path: PathBuf,
}

// What clap wants of a parser is a result.
#[expect(clippy::unnecessary_wraps, reason = "any text is a path")]
fn parse_volume_file(text: &str) -> Result<VolumeFile, std::convert::Infallible> {
    Ok(match text.split_once('=') {
        Some((pool, path)) if !pool.contains(['/', '.']) => {
            VolumeFile { pool: Some(pool.to_owned()), path: path.into() }
        }
        _ => VolumeFile { pool: None, path: text.into() },
    })
}

/// A VM in files.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Documents {
    /// Domain XML (`virsh dumpxml`) in place of an agent's VM; - is standard input
    #[arg(long, value_name = "FILE", help_heading = "From files, without an agent")]
    domain: Option<PathBuf>,
    /// Its persistent definition (`virsh dumpxml --inactive`)
    #[arg(long, value_name = "FILE", requires = "domain", help_heading = "From files, without an agent")]
    inactive: Option<PathBuf>,
    #[command(flatten)]
    around: Surroundings,
}

/// Why a file is not what it should be.
#[derive(Debug)]
pub struct ReadDocumentError {
    /// The file.
    pub path: PathBuf,
    /// Where in it, when that is known.
    pub place: Option<Place>,
    /// One sentence.
    pub reason: String,
    /// The stable code.
    pub code: &'static str,
}

impl fmt::Display for ReadDocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&name(&self.path)))?;
        if let Some(place) = self.place {
            write!(f, ":{}", place.line)?;
        }
        write!(f, ": {} [{}]", one_line(&self.reason), self.code)
    }
}

impl std::error::Error for ReadDocumentError {}

impl Documents {
    /// The VM, when a domain is given.
    ///
    /// *Errors*: [`ReadDocumentError`].
    pub fn read(&self) -> Result<Option<Inventory>, ReadDocumentError> {
        let Some(domain) = &self.domain else {
            return Ok(None);
        };
        let live = read_domain(domain)?;
        let mut discovered = self.around.read()?.of(live);
        if let Some(inactive) = &self.inactive {
            discovered.inactive = Inactive::Known(Box::new(read_domain(inactive)?));
        }
        Ok(Some(Inventory::build(discovered)))
    }

    /// Whether a domain is given.
    pub const fn is_given(&self) -> bool {
        self.domain.is_some()
    }
}

/// What is around a VM, read.
#[derive(Debug, Clone, Default)]
pub struct Around {
    networks: Vec<Network>,
    pools: Vec<Pool>,
}

impl Surroundings {
    /// Reads it all.
    ///
    /// *Errors*: [`ReadDocumentError`].
    pub fn read(&self) -> Result<Around, ReadDocumentError> {
        let mut around = Around::default();
        for path in &self.networks {
            let network = parse_network(read(path)?, Limits::default());
            around.networks.push(network.map_err(|error| refused(path, error.place(), &error, error.code()))?);
        }
        for path in &self.pools {
            let pool = parse_pool(read(path)?, Limits::default());
            around.pools.push(pool.map_err(|error| refused(path, error.place(), &error, error.code()))?);
        }
        for VolumeFile { pool, path } in &self.volumes {
            let volume = parse_volume(read(path)?, Limits::default());
            let volume = volume.map_err(|error| refused(path, error.place(), &error, error.code()))?;
            let homeless =
                "no pool given here holds it: name it with --volume POOL=FILE, and give the pool with --pool";
            let home = home_of(&mut around.pools, pool.as_deref(), &volume);
            let home = home.ok_or_else(|| refused(path, None, &homeless, "volume-without-pool"))?;
            home.volumes.insert(volume.name.clone(), volume);
        }
        Ok(around)
    }
}

/// The pool of that name; without one, the pool in whose folder the volume is.
fn home_of<'a>(pools: &'a mut [Pool], named: Option<&str>, volume: &Volume) -> Option<&'a mut Pool> {
    pools.iter_mut().find(|pool| match (named, &pool.target, &volume.path) {
        (Some(name), _, _) => pool.name == name,
        (None, Some(folder), Some(path)) => Path::new(path).parent() == Some(Path::new(folder)),
        (None, _, _) => false,
    })
}

impl Around {
    /// A domain in these surroundings.
    pub fn of(&self, live: Domain) -> Discovered {
        Discovered { networks: self.networks.clone(), pools: self.pools.clone(), ..Discovered::from_domain(live) }
    }
}

/// Reads one domain.
///
/// *Errors*: [`ReadDocumentError`].
pub fn read_domain(path: &Path) -> Result<Domain, ReadDocumentError> {
    parse_domain(read(path)?, Limits::default()).map_err(|error| refused(path, error.place(), &error, error.code()))
}

fn refused(path: &Path, place: Option<Place>, error: &dyn fmt::Display, code: &'static str) -> ReadDocumentError {
    ReadDocumentError { path: path.to_owned(), place, reason: error.to_string(), code }
}

/// Reads one byte more than the limit at most: enough for the parser to refuse it by name.
fn read(path: &Path) -> Result<Vec<u8>, ReadDocumentError> {
    let most = (Limits::default().bytes as u64).saturating_add(1);
    let mut bytes = Vec::new();
    let done = if path == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    done.map_err(|fault| refused(path, None, &fault, "file-unreadable"))?;
    Ok(bytes)
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

/// A name in the XML may hold line breaks and terminal controls; the report is one plain line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
