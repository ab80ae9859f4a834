/** NaN, infinity and its negative, as a kernel finds them: no literal says them, and dividing by zero is folded or refused. */
export const specials = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
export const notANumber = "this.constants.specials[0]";
export const infinity = "this.constants.specials[1]";
export const negativeInfinity = "this.constants.specials[2]";
