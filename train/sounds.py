"""Recorded noise, by family; the test set's comes from packages that training never reads."""

import io
import re
from functools import cache
from typing import NamedTuple

import numpy as np
import soundfile

import archives
from audio import RATE, resample


class Sounds(NamedTuple):
    """The files of one family in one package."""

    family: str
    package: str
    pattern: str
    """Regular expression that the path inside the package, or inside an archive of it, must match somewhere."""
    split: str
    """"train" or "test"."""


TRAIN_WEIGHTS = {
    "dogs": 10, "animals": 6, "music": 14, "wind": 8, "rain": 6, "water": 5, "fire": 3, "engine": 10, "siren": 7,
    "clatter": 12, "impact": 8, "tools": 6, "ambience": 6, "crowd": 4, "steps": 3, "babble": 12, "talker": 3,
}
"""How often each training family is drawn; babble and talker are made of the recorded training voices."""
LOOPED = {"music", "wind", "rain", "water", "fire", "engine", "ambience", "crowd", "siren"}
"""Families whose recordings go on; of the others single events are strewn over time."""

LONGEST_SECONDS = 40
"""Of longer recordings only this much is taken, from behind their beginning."""

SOURCES: tuple[Sounds, ...] = (
    Sounds("dogs", "0ad-data", r"civ_dog_bark", "train"),
    Sounds("dogs", "widelands-data", r"animals/(wolf|coyote)", "train"),
    Sounds("dogs", "wesnoth-1.16-data", r"wolf-(growl|die|hit)|bite", "train"),
    Sounds("animals", "widelands-data", r"animals/(bird|boar|frog|moose|stag|cricket)|farm/(donkey|farm|horse|ox|sheep)|duck", "train"),
    Sounds("animals", "wesnoth-1.16-data", r"ambient/birds|horse|gryphon|tusker", "train"),
    Sounds("animals", "0ad-data", r"fauna/(animal|death|movement)", "train"),
    Sounds("animals", "supertuxkart-data", r"cow\.ogg|sheep\.ogg|exotic-birds", "train"),
    Sounds("music", "wesnoth-1.16-music", r"music/", "train"),
    Sounds("music", "widelands-data", r"music/", "train"),
    Sounds("music", "colobot-common-sounds", r"music/", "train"),
    Sounds("music", "supertuxkart-data", r"music/", "train"),
    Sounds("music", "torcs-data", r"music", "train"),
    Sounds("music", "0ad-data", r"audio/music/[A-H]", "train"),
    Sounds("music", "lmms-common", r"instruments|stringsnpads|latin|bassloops|beats", "train"),
    Sounds("wind", "0ad-data", r"weather/(wind|snow)|leaves_", "train"),
    Sounds("wind", "wesnoth-1.16-data", r"ambient/(night|morning|ship)", "train"),
    Sounds("rain", "0ad-data", r"weather/(rain|thunder)", "train"),
    Sounds("rain", "supertuxkart-data", r"sfx/(rain|thunder)", "train"),
    Sounds("water", "0ad-data", r"ambient/water|actor/ship", "train"),
    Sounds("water", "supertuxkart-data", r"river_loop|waterfall|splash", "train"),
    Sounds("fire", "0ad-data", r"attack/fire", "train"),
    Sounds("fire", "wesnoth-1.16-data", r"campfire|torch|flame|fire", "train"),
    Sounds("engine", "torcs-data", r"sound/(?!boom|crash|bottom|gear|backfire\.)", "train"),
    Sounds("engine", "supertuxkart-data", r"engine|Engine|car_|machine_sound|steamLocomotive|nitro|spaceship|skid", "train"),
    Sounds("engine", "openttd-opensfx", r"00[3-9]\.wav|01[0-4]\.wav|02[4-9]\.wav", "train"),
    Sounds("engine", "warzone2100-data", r"audio/sfx/.*(engine|motor|hover|track|wheel|move|loop)", "train"),
    Sounds("siren", "wesnoth-1.16-data", r"horn-signals|bell\.wav|wail", "train"),
    Sounds("siren", "0ad-data", r"interface/alarm", "train"),
    Sounds("siren", "supertuxkart-data", r"energy_bar|forcefield|tractor|gnu_flute|bowling|clock", "train"),
    Sounds("clatter", "supertuxkart-data", r"restaurant|metal_clang|break|strike|clock", "train"),
    Sounds("clatter", "wesnoth-1.16-data", r"sounds/(sword|mace|axe|club|dagger|knife|spear|gold|open-chest|skeleton|potion|staff|throwing)", "train"),
    Sounds("clatter", "widelands-data", r"smiths|metal|falling_tools|meal|ration|goldspin|beerbubble|winebubble", "train"),
    Sounds("clatter", "0ad-data", r"resource/(mining|construction)|impact/|interface/select", "train"),
    Sounds("clatter", "wesnoth-1.16-data", r"ui/|select|button|slider|click|chat|checkbox", "train"),
    Sounds("impact", "torcs-data", r"crash|boom|gear|backfire\.", "train"),
    Sounds("impact", "wesnoth-1.16-data", r"explosion|thunderstick|rumble|cave-in|lightning|fist|hit|bow|sling", "train"),
    Sounds("impact", "colobot-common-sounds", r"sounds/", "train"),
    Sounds("impact", "openttd-opensfx", r"\d\.wav", "train"),
    Sounds("impact", "warzone2100-data", r"audio/sfx/", "train"),
    Sounds("tools", "widelands-data", r"saw|hammer|stonecut|woodcutting|weav|mill|mortar|stonegrind|scythe|sharpening", "train"),
    Sounds("tools", "0ad-data", r"con_saw|lumber|hoe_|gather_", "train"),
    Sounds("ambience", "0ad-data", r"ambient/(building|dayscape)", "train"),
    Sounds("ambience", "supertuxkart-data", r"sara_airport|static-radio|sfx/dark|fireworks", "train"),
    Sounds("crowd", "supertuxkart-data", r"sara_airport|race_finish|goal_scored", "train"),
    Sounds("crowd", "widelands-data", r"taverns/(inn|tavern)", "train"),
    Sounds("crowd", "lmms-common", r"crowd|applause", "train"),
    Sounds("steps", "0ad-data", r"Footsteps|singlesteps|human/movement|mstep", "train"),
    Sounds("dogs*", "gcompris-qt-data", r"animals/dog|LRBark", "test"),
    Sounds("music*", "supertux-data", r"music/(forest|antarctic|castle|misc)", "test"),
    Sounds("music*", "gcompris-qt-data", r"resource/music/", "test"),
    Sounds("wind*", "flare-game", r"wind_loop|wind_ambient|cave_wind", "test"),
    Sounds("rain*", "flare-game", r"environment/(rain|river)", "test"),
    Sounds("rain*", "supertux-data", r"rain\.wav|waterfall\.wav", "test"),
    Sounds("rain*", "gcompris-qt-data", r"LRRain|LRFrogs", "test"),
    Sounds("street*", "gcompris-qt-data", r"StartAndStopCarEngine|Train_slowing|train\.wav|car\.wav|harbor|helicopter", "test"),
    Sounds("crowd*", "unknown-horizons", r"main_square|tavern|warehouse", "test"),
    Sounds("tools*", "unknown-horizons", r"lumberjack|windmill|smith|stonemason|sheepfield", "test"),
    Sounds("tools*", "supertux-data", r"sounds/saw", "test"),
    Sounds("tools*", "flare-game", r"anvil", "test"),
    Sounds("clatter*", "gcompris-qt-data", r"LRHits|Object_falling|LRDoor|money|pickaxe|card_flip|click|metal_hit|Factory", "test"),
    Sounds("clatter*", "flare-game", r"soundfx/(inventory|steps)", "test"),
    Sounds("ringing*", "linphone-common", r"rings/oldphone|ringback", "test"),
    Sounds("ringing*", "supertux-data", r"phone\.wav", "test"),
    Sounds("ringing*", "unknown-horizons", r"ships_bell|chapel", "test"),
)


def _decoded(file: bytes) -> np.ndarray | None:
    try:
        with soundfile.SoundFile(io.BytesIO(file)) as opened:
            rate, length = opened.samplerate, opened.frames
            longest = LONGEST_SECONDS * rate
            if length > 2 * longest:
                opened.seek(length // 4)
            samples = opened.read(longest, always_2d=True)
    except soundfile.LibsndfileError:
        return None
    if len(samples) < 0.04 * rate or np.abs(samples).max() < 0.003:
        return None
    return resample(samples.mean(axis=1), rate, RATE)


@cache
def read(family: str, split: str) -> list[tuple[str, np.ndarray]]:
    """Name and samples at 48 kHz of every recording of a family; no recording is in two families of a split."""
    taken: list[tuple[str, np.ndarray]] = []
    for source in SOURCES:
        if source.family != family or source.split != split:
            continue
        earlier = [s for s in SOURCES[: SOURCES.index(source)] if s.split == split and s.package == source.package]
        for name, file in archives.contents(source.package):
            if not re.search(source.pattern, name) or any(re.search(s.pattern, name) for s in earlier):
                continue
            samples = _decoded(file)
            if samples is not None:
                taken.append((f"{source.package}:{name}", samples.astype(np.float32)))
    return taken
