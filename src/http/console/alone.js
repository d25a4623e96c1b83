// What is loaded only where it is shown. Views that stand alone show nothing else.
const ALONE = {
  admin: { load: loadAdmin, clear: clearAdmin },
  inventory: { load: loadInventory, clear: clearInventory },
  storage: { load: loadStorage, clear: clearStorage },
  events: { load: loadTail, clear: clearTail },
};
const STANDS_ALONE = ["admin", "inventory", "storage"];
