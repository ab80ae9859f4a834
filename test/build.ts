/** Before all tests: JavaScript for the processes that tests start; each would take seconds to make it for itself. */
import { writeJavaScript } from "../bench/javascript.js";
import { builtFolder } from "./commands.js";

export const setup = (): Promise<void> => writeJavaScript(builtFolder);
