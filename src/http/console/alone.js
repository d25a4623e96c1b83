// Views that stand alone: not in All, and loaded only when they are shown.
const ALONE = {
  admin: { load: loadAdmin, clear: clearAdmin },
};
