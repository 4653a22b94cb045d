#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| msdcam_fuzz::request(data));
