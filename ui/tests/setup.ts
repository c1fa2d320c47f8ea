/** What the tests need beside the browser that jsdom is. */

import '@testing-library/jest-dom/vitest';
