// What the page says of tasks, strategies and notes. A strategy that is not listed is shown without a sentence.

export const MODES = {
  lines: {
    name: "Digits in a line",
    hint: "Write a number of any length, or several lines. Photos and scans work too.",
    prompt: "Write a number here",
    size: (narrow) => (narrow ? [720, 540] : [1120, 420]),
    pen: 18,
  },
  strips: {
    name: "Strip of five",
    hint: "Five slots, one digit in each; a slot may stay empty.",
    prompt: "One digit in each slot",
    size: () => [1120, 224],
    pen: 19,
    slots: 5,
  },
  scenes: {
    name: "Scene",
    hint: "One to eight digits anywhere, large and small.",
    prompt: "Digits anywhere",
    size: () => [672, 672],
    pen: 17,
    square: true,
  },
  mnist: {
    name: "One digit",
    hint: "A single digit, and what each layer of a network makes of it.",
    prompt: "One digit",
    size: () => [448, 448],
    pen: 30,
    square: true,
  },
  cifar10: {
    name: "CIFAR-10 picture",
    hint: "A colour picture of an airplane, car, bird, cat, deer, dog, frog, horse, ship or truck.",
    prompt: "Upload, drop or paste a picture, or pick an example",
    size: () => [448, 448],
    square: true,
  },
};

export const IDEAS = {
  slice: "Cuts the strip into five cells and reads each with one digit net. Helpless when a digit leaves its cell.",
  sliding: "Slides one digit net over the strip and joins its scores. It also says where each digit is.",
  multihead: "One network sees the whole strip; five heads each answer for one slot.",
  multilabel: "Fifty-five yes-or-no questions, eleven for each slot.",
  ctc: "Reads columns from left to right and collapses repeats. It learns from the digits alone, without positions.",
  goodfellow: "One output says how many digits there are, five say which. Google read house numbers this way.",
  sdnn: "A digit network stretched over the strip; dynamic programming finds the best path through its scores.",
  faster_rcnn: "Proposes regions that may hold a digit, then names each. One network does both.",
  fast_rcnn: "Names regions that another program proposed.",
  centernet: "Marks the centre of each digit on a heat map, with its class and its box.",
  crnn: "Convolutions, then a recurrent network that reads the columns from both sides.",
  fcn_ctc: "Convolutions alone, read column by column.",
  textbook: "The small convolutional network of Keras's MNIST example.",
  cnn: "A plain convolutional network.",
  resnet: "Residual blocks: each layer adds to what came before.",
  vgg16: "Features that were learned on ImageNet, and a small head of its own.",
};

export const LEADS = {
  lines: "How long is the number? Each strategy finds out in its own way.",
  strips: "Different ideas for the same five digits. Crowd the slots, leave gaps or scribble beside them, and see which hold.",
  scenes: "A detector finds the digits before it names them.",
  mnist: "The starting point: one digit, one small network.",
  cifar10: "Networks of different depth name the same picture.",
};

/** Sentences that suit the page better than those of `make read`. */
export const NOTES = {
  bright_border: "dark on light? This model reads light ink on a dark background",
  scaled_by_page: "this page scaled the photo down before it sent it",
};
