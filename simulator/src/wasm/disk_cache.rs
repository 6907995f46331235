//! Compiled modules kept on disk, so that the next process need not compile them: a file per module in the user's cache
//! folder, named by what was compiled and by what would compile it.
//!
//! Loading a file runs its code, so the folder is the user's own, and each file begins with a digest of the rest:
//! one that was cut off or damaged is compiled anew. Whoever can write the folder can also change the simulator.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::limits::MIB;

/// Names the folder, or is `off`.
const VARIABLE: &str = "CANOPY_SIMULATOR_CACHE";
/// Files kept, and their bytes; the oldest go first.
const FILES_MAX: usize = 64;
const FILES_BYTES_MAX: u64 = 512 * MIB;
/// Code below this size is compiled sooner than it is found.
const CODE_BYTES_MIN: usize = 32 << 10;
const DIGEST_BYTES: usize = 32;

/// A folder of compiled modules for one engine.
pub struct DiskCache {
    folder: PathBuf,
    engine: u64,
}

impl DiskCache {
    /// Finds the folder: where `CANOPY_SIMULATOR_CACHE` says, or in the user's cache folder. None: nothing is kept.
    pub fn of(engine: &wasmtime::Engine) -> Option<Self> {
        let folder = match std::env::var_os(VARIABLE) {
            Some(text) if text == "off" => return None,
            Some(folder) => PathBuf::from(folder),
            None => match std::env::var_os("XDG_CACHE_HOME") {
                Some(caches) => PathBuf::from(caches),
                None => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
            }
            .join("canopy-simulator"),
        };
        Some(Self::at(folder, engine))
    }

    /// Uses a folder, which is made when there is something to keep.
    pub fn at(folder: PathBuf, engine: &wasmtime::Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { folder, engine: hasher.finish() }
    }

    /// Compiles instrumented code, or loads what was compiled before. What can't be kept is only compiled.
    ///
    /// # Errors
    /// Those of the compiler.
    pub fn compile(&self, engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<wasmtime::Module> {
        if code.len() < CODE_BYTES_MIN {
            return wasmtime::Module::new(engine, code);
        }
        let path = self.path(code);
        if let Some(module) = load(engine, &path) {
            return Ok(module);
        }
        let module = wasmtime::Module::new(engine, code)?;
        // A full disk or a folder that can't be written costs time only.
        let _ = module.serialize().map(|bytes| self.store(&path, &bytes));
        Ok(module)
    }

    fn path(&self, code: &[u8]) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(self.engine.to_le_bytes());
        hash.update(code);
        self.folder.join(format!("{}.module", hex::encode(hash.finalize())))
    }

    /// Writes a file under another name first, so that nobody sees half of it.
    fn store(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let unfinished = path.with_extension(format!("{}.unfinished", std::process::id()));
        fs::write(&unfinished, [&Sha256::digest(bytes)[..], bytes].concat())?;
        fs::rename(&unfinished, path)?;
        self.bound()
    }

    /// Removes the oldest files beyond the bounds, unfinished ones of processes that died among them.
    fn bound(&self) -> std::io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file() {
                files.push((about.modified()?, about.len(), entry.path()));
            }
        }
        files.sort();
        let (mut count, mut bytes) = (files.len(), files.iter().map(|(_, bytes, _)| bytes).sum::<u64>());
        for (_, size, path) in files {
            if count <= FILES_MAX && bytes <= FILES_BYTES_MAX {
                break;
            }
            fs::remove_file(path)?;
            count -= 1;
            bytes -= size;
        }
        Ok(())
    }
}

fn load(engine: &wasmtime::Engine, path: &Path) -> Option<wasmtime::Module> {
    let file = fs::read(path).ok()?;
    let (digest, bytes) = file.split_at_checked(DIGEST_BYTES)?;
    if Sha256::digest(bytes)[..] != *digest {
        return None;
    }
    // SAFETY: these bytes are what `Module::serialize` made of this code for an engine of the same version and settings
    // (both are in the name), undamaged, in a folder that only this user writes.
    unsafe { wasmtime::Module::deserialize(engine, bytes) }.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> Vec<u8> {
        let nops = "nop ".repeat(CODE_BYTES_MIN);
        wat::parse_str(format!(r#"(module (func (export "f") (result i32) {nops} i32.const 7))"#)).expect("valid text")
    }

    fn seven(engine: &wasmtime::Engine, module: &wasmtime::Module) {
        let mut store = wasmtime::Store::new(engine, ());
        let instance = wasmtime::Instance::new(&mut store, module, &[]).expect("no imports");
        let function = instance.get_typed_func::<(), i32>(&mut store, "f").expect("exported");
        assert_eq!(function.call(&mut store, ()).expect("no trap"), 7);
    }

    #[test]
    fn damaged_files_are_compiled_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = wasmtime::Engine::default();
        let cache = DiskCache::at(folder.path().join("modules"), &engine);
        let path = cache.path(&code());
        seven(&engine, &cache.compile(&engine, &code()).expect("valid"));
        assert!(load(&engine, &path).is_some());
        let whole = fs::read(&path).expect("kept");
        for damaged in [vec![], whole[..20].to_vec(), whole[..whole.len() - 1].to_vec(), {
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 1;
            changed
        }] {
            fs::write(&path, damaged).expect("writable");
            assert!(load(&engine, &path).is_none());
            seven(&engine, &cache.compile(&engine, &code()).expect("valid"));
            assert_eq!(fs::read(&path).expect("kept").len(), whole.len());
        }
    }

    #[test]
    fn oldest_files_go_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = wasmtime::Engine::default();
        let cache = DiskCache::at(folder.path().to_path_buf(), &engine);
        for number in 0..FILES_MAX + 5 {
            cache.store(&folder.path().join(format!("{number}.module")), b"code").expect("writable");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), FILES_MAX);
    }
}
