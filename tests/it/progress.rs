//! Progress of methods with many runs, and stopping them.

use msdcam::error::RequestError;
use msdcam::explain::Smoothing;
use msdcam::{Device, DeviceChoice, Error, ExplainRequest, Explainer, Method, Model};

const IMAGE: [f32; 3 * 32 * 32] = {
    let mut image = [0.0; 3 * 32 * 32];
    let mut i = 0;
    while i < image.len() {
        image[i] = ((i * 37) % 101) as f32 / 50.0 - 1.0;
        i += 1;
    }
    image
};

fn explainer(methods: &[&str], smoothing: Smoothing) -> Explainer {
    let model = Model::pretrained().unwrap();
    let methods: Vec<Method> = methods.iter().map(|name| name.parse().unwrap()).collect();
    let request = ExplainRequest { exits: vec![1], smoothing, ..ExplainRequest::new(&model, &methods) };
    Explainer::new(&model, &request, &Device::open(DeviceChoice::Cpu, 1).unwrap(), 2).unwrap()
}

#[test]
fn every_run_is_counted_and_planned() {
    let model = Model::pretrained().unwrap();
    let channels = model.graph.shape(model.exit_tap(1).node).c;
    for (methods, smoothing, runs) in [
        (&["grad-cam"][..], Smoothing::None, 0),
        (&["layer-cam", "guided-backprop"], Smoothing::None, 0),
        (&["score-cam"], Smoothing::None, channels),
        (&["ablation-cam", "score-cam"], Smoothing::None, 2 * channels),
        (&["smooth-grad", "integrated-gradients"], Smoothing::None, 100),
        // Five other copies of the image, each with its own maps.
        (&["grad-cam"], Smoothing::Flips, 5),
        (&["score-cam", "smooth-grad"], Smoothing::Flips, 6 * channels + 5 + 50),
    ] {
        let mut explainer = explainer(methods, smoothing);
        let progress = explainer.progress();
        for images in [1, 2] {
            explainer.explain(&IMAGE.repeat(images)).unwrap();
            assert_eq!(progress.runs(), (images * runs, images * runs), "{methods:?}, {images} images");
        }
    }
}

#[test]
fn another_thread_stops_it_and_it_works_again_with_the_same_bits() {
    for method in ["score-cam", "ablation-cam", "smooth-grad", "integrated-gradients"] {
        let mut explainer = explainer(&[method], Smoothing::None);
        let expected = explainer.explain(&IMAGE).unwrap();
        let progress = explainer.progress();
        // So many images that they cannot be through before the other thread is.
        let images = IMAGE.repeat(200);
        let other = progress.clone();
        let stopped = std::thread::scope(|scope| {
            scope.spawn(move || {
                while other.runs().0 == 0 || other.runs().0 == other.runs().1 {
                    std::thread::yield_now();
                }
                other.stop();
            });
            explainer.explain(&images).unwrap_err()
        });
        let Error::Request(RequestError::Stopped { done, planned }) = stopped else { panic!("{stopped:?}") };
        // Zero is of a batch after the one that the other thread saw.
        assert!(done < planned, "{method}: {done} of {planned}");
        assert!(explainer.explain(&IMAGE).is_err(), "{method} stays stopped");
        progress.resume();
        assert!(explainer.explain(&IMAGE).unwrap() == expected, "{method}");
    }
}
