// What the page says of a picture, as text.

import { percent } from "./parts.js";

export const REASONS = { corrected: "Corrected", declined: "Declined", suspect: "Suspected label" };

/** A reading or a label in a sentence: it may be empty, or of two lines. */
export function shown(text) {
  return text === "" ? "no digits" : text.replaceAll("\n", " / ");
}

/** Why this picture is here. */
export function whyOf(item) {
  const sure = item.confidence === null ? "" : `, ${percent(item.confidence)} sure`;
  if (item.reason === "corrected") {
    return `${item.by} says ${shown(item.proposal)}. The model read ${shown(item.reading)}${sure}.`;
  }
  if (item.reason === "declined") {
    return `The model read ${shown(item.reading)}${sure}, and did not accept it.`;
  }
  const { source, part, place, published } = item.suspect;
  const which = place ? `Digit ${place} of ${published}` : "This picture";
  return `${which} is published as ${item.proposal}. A model that never saw it reads ${item.reading}${sure}. (${source}, ${part})`;
}

/** What is to be typed. */
export function askOf(item) {
  if (item.classes.length) return "Or type the number of its class";
  if (item.suspect?.place) return "Or type the digit in the frame";
  return item.most === 1 ? "Or type the digit" : `Or type the digits, ${item.most} at most`;
}

/** A picture for those who hear the page. */
export function heard(item, left, total) {
  return `Picture ${total - left + 1} of ${total}. ${REASONS[item.reason]}. ${whyOf(item)}`;
}
