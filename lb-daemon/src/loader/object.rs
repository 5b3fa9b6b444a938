//! The eBPF object inside this binary.

/// This binary was compiled without an eBPF object.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("built without its eBPF object: build with `cargo xtask build`")]
pub struct Missing;

/// Aligned as the ELF parser wants it; empty if the build had no object.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-ebpf.o"));

/// The object to load, as an ELF file.
pub fn embedded() -> Result<&'static [u8], Missing> {
    if OBJECT.is_empty() { Err(Missing) } else { Ok(OBJECT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_an_elf_file_for_bpf_or_its_absence_says_what_to_do() {
        const EM_BPF: u16 = 247;
        match embedded() {
            Ok(object) => {
                assert_eq!(&object[..4], b"\x7fELF");
                assert_eq!(u16::from_le_bytes([object[18], object[19]]), EM_BPF);
                assert_eq!(
                    object.as_ptr().align_offset(8),
                    0,
                    "the ELF parser reads u64s in place"
                );
            }
            Err(missing) => assert!(missing.to_string().contains("cargo xtask build")),
        }
    }
}
