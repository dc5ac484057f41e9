// Takes the data out of the page: base64 of gzip of JSON. Base64 so that no name can end the element.
import type { RawProfile } from "./types";

/** The version of the data that this page was written for. */
const VERSION = 1;

/** What is wrong with the data, in words for the reader. */
export class DataError extends Error {}

/** Bytes of base64 text. */
function fromBase64(text: string): Uint8Array<ArrayBuffer> {
    const direct = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
    if (direct) return direct.call(Uint8Array, text);
    const characters = atob(text);
    const bytes = new Uint8Array(characters.length);
    for (let i = 0; i < characters.length; i++) bytes[i] = characters.charCodeAt(i);
    return bytes;
}

/** The profile of this text. */
export async function decode(text: string): Promise<RawProfile> {
    const trimmed = text.trim();
    if (!trimmed) throw new DataError("This page holds no profile. `skip-heapprof report RECORDING -o FILE.html` writes one that does.");
    let profile: RawProfile;
    try {
        const bytes = fromBase64(trimmed);
        const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
        profile = await new Response(unpacked).json();
    } catch (error) {
        throw new DataError(`The profile in this page is damaged (${String(error)}). Write the report again.`);
    }
    if (!profile?.sites?.calls || !profile.sites.bytes) {
        throw new DataError("The data in this page have no sites. Write the report again.");
    }
    if (profile.version > VERSION) {
        throw new DataError(`The data in this page have version ${profile.version}, the page reads version ${VERSION}.`);
    }
    return profile;
}
